-- SPDX-License-Identifier: Apache-2.0
-- Copyright The retether authors
--
-- Ends of sessions. The third part of functions.lua, whose names it uses.

-- Of the hash of tails, in the order of the arguments: stdout, stderr, in which order their bytes were written.
local TAIL_FIELDS = {'1', '2', 'ord'}

-- Whether the life's end is stored already and is another one. The same one has its status and final offsets, and of
-- each stream the tail that is stored, and their order; what is missing on one side makes it no other.
local function is_other_end(keys, args)
    local v = redis.call('HMGET', keys[1], 'code', 'sig', 'out', 'err')
    local t = redis.call('HMGET', keys[2], unpack(TAIL_FIELDS))
    for i = 1, 4 do
        if v[i] and v[i] ~= args[1 + i] then
            return true
        end
    end
    for i = 1, #TAIL_FIELDS do
        local stored, tail = t[i] or '', args[5 + i]
        if stored ~= '' and tail ~= '' and stored ~= tail then
            return true
        end
    end
    return false
end

local function write_end(key, args)
    redis.call('HSET', key, 'st', ENDED, 'code', args[2], 'sig', args[3], 'out', args[4], 'err', args[5], 'seen',
               str(store_ms()), 'lost', '0')
    redis.call('PEXPIRE', key, END_TTL_MS)
end

-- args: life, code, sig, out, err, tail of stdout, tail of stderr, their order, whether it was taken before and comes
-- without its tails: then it is written only where it is still.
-- The first end of a life stands. The same one again adds the tails that are missing, but for those that were given up.
local function finish(keys, args)
    local r = read_record(keys[1])
    local code = fence(r, args[1])
    local was_cut = redis.call('HEXISTS', keys[1], 'cut') == 1
    if code == WRITTEN and r.st == ENDED and is_other_end(keys, args) then
        code = OTHER_END
    elseif code == WRITTEN and r.st ~= ENDED and args[9] == '1' then
        code = NO_RECORD
    end
    if code == WRITTEN then
        write_end(keys[1], args)
        redis.call('HDEL', keys[1], 'keeper')
        for i, field in ipairs(TAIL_FIELDS) do
            if args[5 + i] ~= '' and not was_cut then
                redis.call('HSET', keys[2], field, args[5 + i])
            end
        end
        redis.call('PEXPIRE', keys[2], END_TTL_MS)
    end
    return answer(code, r)
end

-- args: life, code, sig, out, err, nothing, nothing, nothing, host
-- The status alone, for a server that has no room for the tails: they are on that host's disk until it has.
local function mark(keys, args)
    local r = read_record(keys[1])
    local code = fence(r, args[1])
    if code == WRITTEN and r.st == ENDED then
        return answer(is_other_end(keys, args) and OTHER_END or WRITTEN, r)
    elseif code == WRITTEN then
        write_end(keys[1], args)
        redis.call('HSET', keys[1], 'keeper', args[9])
    end
    return answer(code, r)
end

-- -> state (0 none), lost for its lease, code, sig, out, err, tails, life, host that has the tails on its disk,
-- whether they were given up, their order
local function tails(keys)
    local v = redis.call('HMGET', keys[1], 'st', 'lost', 'code', 'sig', 'out', 'err', 'life', 'keeper', 'cut')
    local t = redis.call('HMGET', keys[2], unpack(TAIL_FIELDS))
    local st = tonumber(v[1] or 0)
    local gone = is_gone({exists = st > 0, st = st, lost = tonumber(v[2] or 0)})
    return {st, gone and 1 or 0, tonumber(v[3] or 0), tonumber(v[4] or 0), tonumber(v[5] or 0), tonumber(v[6] or 0),
            t[1] or '', t[2] or '', tonumber(v[7] or 0), v[8] or '', v[9] and 1 or 0, t[3] or ''}
end

-- The budget of tails. What a host has stored of them is listed in keys of that host's: KEYS[1] a zset of members
-- "tenant/cid" by the time of their end, KEYS[2] a hash, of each member "bytes life", and of '' the bytes of all. An
-- end is listed before it is written, so that none is ever stored without being counted; what is listed and not stored
-- (any more) is given up in vain, or drops out with its time.

local TAILS_PAGE = 64
local TAILS_TTL_MS = 2 * END_TTL_MS

local function tail_of(keys, member)
    local bytes, life = string.match(redis.call('HGET', keys[2], member) or '', '^(%d+) (%d+)$')
    return tonumber(bytes or 0), life or '0'
end

local function uncount(keys, member)
    local bytes = tail_of(keys, member)
    redis.call('ZREM', keys[1], member)
    redis.call('HDEL', keys[2], member)
    redis.call('HINCRBY', keys[2], '', 0 - bytes)
end

-- args: bytes that the host may have, and of these to give up now; member ('' none), its bytes and life.
-- -> bytes, time of the oldest (0 none), then what is to be given up: member, life; at most a page
local function count_tails(keys, args)
    local now = store_ms()
    if args[3] ~= '' then
        local before = tail_of(keys, args[3])
        redis.call('ZADD', keys[1], str(now), args[3])
        redis.call('HSET', keys[2], args[3], args[4] .. ' ' .. args[5])
        redis.call('HINCRBY', keys[2], '', str(tonumber(args[4]) - before))
    end
    local over = redis.call('ZRANGEBYSCORE', keys[1], '-inf', str(now - END_TTL_MS), 'LIMIT', 0, TAILS_PAGE)
    for _, member in ipairs(over) do
        uncount(keys, member)
    end
    local list = redis.call('ZRANGE', keys[1], 0, TAILS_PAGE - 1, 'WITHSCORES')
    if #list == 0 then
        redis.call('DEL', keys[1], keys[2])
    end
    local left = tonumber(redis.call('HGET', keys[2], '') or 0)
    local most = math.min(tonumber(args[1]), left - tonumber(args[2]))
    local out = {left, tonumber(list[2] or 0)}
    for i = 1, #list, 2 do
        if left <= most then
            break
        end
        local bytes, life = tail_of(keys, list[i])
        left = left - bytes
        out[#out + 1] = list[i]
        out[#out + 1] = life
    end
    redis.call('PEXPIRE', keys[1], TAILS_TTL_MS)
    redis.call('PEXPIRE', keys[2], TAILS_TTL_MS)
    return out
end

-- args: member whose tails have been given up
local function uncount_tails(keys, args)
    uncount(keys, args[1])
    return 1
end

-- KEYS: record, tails. args: life. Status and offsets stay. -> 1 when there was something
local function cut(keys, args)
    local r = read_record(keys[1])
    if not r.exists or r.st ~= ENDED or r.life ~= tonumber(args[1]) then
        return 0
    end
    redis.call('HSET', keys[1], 'cut', '1')
    return redis.call('DEL', keys[2])
end

-- What all hosts have: KEYS[1] a hash of each host's bytes, of '' the sum, KEYS[2] the hosts by the time of their
-- oldest. args: host, its bytes, time of its oldest. -> bytes of all, host that has the oldest ('' none)
local function total_tails(keys, args)
    local before = tonumber(redis.call('HGET', keys[1], args[1]) or 0)
    local bytes = tonumber(args[2])
    if bytes == 0 and before == 0 then -- a host that has none writes nothing
        return {tonumber(redis.call('HGET', keys[1], '') or 0), redis.call('ZRANGE', keys[2], 0, 0)[1] or ''}
    end
    if bytes > 0 then
        redis.call('HSET', keys[1], args[1], args[2])
        redis.call('ZADD', keys[2], args[3], args[1])
    else
        redis.call('HDEL', keys[1], args[1])
        redis.call('ZREM', keys[2], args[1])
    end
    local all = redis.call('HINCRBY', keys[1], '', str(bytes - before))
    redis.call('PEXPIRE', keys[1], TAILS_TTL_MS)
    redis.call('PEXPIRE', keys[2], TAILS_TTL_MS)
    return {all, redis.call('ZRANGE', keys[2], 0, 0)[1] or ''}
end

register('end', finish)
register('mark', mark, 'allow-oom')
register('tails', tails, 'no-writes')
register('tails_count', count_tails, 'allow-oom')
register('tails_uncount', uncount_tails, 'allow-oom')
register('tails_cut', cut, 'allow-oom')
register('tails_total', total_tails, 'allow-oom')
