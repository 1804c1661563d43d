-- SPDX-License-Identifier: Apache-2.0
-- Copyright The retether authors
--
-- The hosts. The second part of functions.lua, whose names it uses.

-- The registry: rt:{reg}:rows, a row for each host, and rt:{reg}:names, the hosts' names in their order. A row:
-- instance, seq, time (ms), then what the agent gave (sessions, version, machine, addresses), one a line. The time is
-- for people, and for rows that nobody has written for TTL_MS: who lives is judged by the sequence, by who looks
-- (migrate/core/watch.h). Beside a row, while its host drains, there is a field "HOST drains" with the instance that
-- says so: a version that does not know it takes the row over without it, and then it says nothing.

local DRAINS = ' drains'

local function parse_row(row)
    local instance, seq, at = string.match(row or '', '^(%x+)\n(%d+)\n(%d+)\n')
    return instance, tonumber(seq or 0), tonumber(at)
end

-- The store's birth mark, "random:ms:run id". Another run of the server may have lost what the last one acknowledged
-- (a failover, an older append-only file), and a clock that went back makes ages meaningless: both are a new birth.
local function birth(key, candidate, run, now)
    local mark, at, its_run = string.match(redis.call('GET', key) or '', '^(%x+):(%d+):(%x+)$')
    at = tonumber(at or 0)
    if not mark or its_run ~= run or at > now then
        mark, at = candidate, now
        redis.call('SET', key, table.concat({mark, str(at), run}, ':'))
    end
    return mark, at
end

-- What others remember of a row: version, machine and addresses.
local function told_of(payload)
    return string.match(payload or '', '^%d+\n(.*)$')
end

-- Writes our row, and no other: its cost does not grow with the number of hosts. A row that is held by another instance
-- is left, unless it is still the one that we have found dead. The row is published when there was none or another
-- one, when it says something else than before, and when the agent wants it told.
-- KEYS: registry, names, birth mark. args: host, instance, seq, run id, random, payload of the row, tell, instance and
-- seq of the dead one, '1' when the host drains. -> now, mark, its ms, taken (then nothing was written), instance and seq found, seq written
local function beat(keys, args)
    local now = store_ms()
    local mark, born = birth(keys[3], args[5], args[4], now)
    local old = redis.call('HGET', keys[1], args[1])
    local instance, seq = parse_row(old)
    local taken = instance and instance ~= args[2] and not (instance == args[8] and str(seq) == args[9])
    local new_seq = math.max(seq, tonumber(args[3])) + 1
    if not taken then
        local row = table.concat({args[2], str(new_seq), str(now), args[6]}, '\n')
        redis.call('HSET', keys[1], args[1], row)
        if args[10] == '1' then
            redis.call('HSET', keys[1], args[1] .. DRAINS, args[2])
        else
            redis.call('HDEL', keys[1], args[1] .. DRAINS)
        end
        redis.call('ZADD', keys[2], 0, args[1])
        if args[7] == '1' or instance ~= args[2] or
            told_of(string.match(old, '^%x+\n%d+\n%d+\n(.*)$')) ~= told_of(args[6]) then
            redis.call('PUBLISH', 'rt:hosts', args[1] .. '\n' .. row)
        end
    end
    return {now, mark, born, taken and 1 or 0, instance or '', seq, new_seq}
end

-- A page of the registry, in the order of the names; rows that nobody has written for TTL_MS go with it. One that does
-- not say when it was written stays: another version's may be.
-- KEYS: registry, names. args: the name behind which it begins ('' first), how many at most.
-- -> now, the last name when there may be more, else '', rows (flat: host, row, who says that it
-- drains or '', host, ...)
local function hosts(keys, args)
    local now = store_ms()
    local from = args[1] == '' and '-' or '(' .. args[1]
    local names = redis.call('ZRANGEBYLEX', keys[2], from, '+', 'LIMIT', 0, args[2])
    local flat = {}
    if #names == 0 then
        return {now, '', flat}
    end
    local fields = {}
    for i, name in ipairs(names) do
        fields[2 * i - 1], fields[2 * i] = name, name .. DRAINS
    end
    local found = redis.call('HMGET', keys[1], unpack(fields))
    for i, name in ipairs(names) do
        local row = found[2 * i - 1]
        local _, _, at = parse_row(row or '')
        if not row or at and now - at > TTL_MS then
            redis.call('HDEL', keys[1], name, name .. DRAINS)
            redis.call('ZREM', keys[2], name)
        else
            flat[#flat + 1] = name
            flat[#flat + 1] = row
            flat[#flat + 1] = found[2 * i] or ''
        end
    end
    return {now, #names == tonumber(args[2]) and names[#names] or '', flat}
end

register('beat', beat, 'allow-oom')
register('hosts', hosts, 'allow-oom')
