#!lua name=retether_@version@
-- SPDX-License-Identifier: Apache-2.0
-- Copyright The retether authors
--
-- The atomic logic of the session store. The build makes a version of the code itself, which is in the library's name and
-- in each function's (embed.cmake): agents of two versions work on one store, side by side, each with the functions that
-- it was built with. What they owe each other is in docs/architecture.md, "Functions".
--
-- registry.lua and ends.lua are the rest of this library.
--
-- A session's record is the hash KEYS[1], its tails the hash KEYS[2]. KEYS[3], where a function has it, is a number: no
-- life up to it is served any more. It has no end: a ticket may have none either. The record's rev is a copy, for who
-- reads the record. Numbers are decimal text below 2^53, ids lowercase
-- hex. Fields of a record:
--   st state, life, ep epoch, inc, tkt confirmed ticket, anc its ancestors (hex, end to end), nonce, host owner,
--   lost (ms), bound; label, ring, made, claimed, seen (ms), moves, hist ("life epoch at host\n" each, oldest first),
--   rep the newest report, code, sig, out, err of the end, keeper the host that has its tails, cut: they were given up; rev; set = the host whose set
--   lists the session: written once it is in that set, so it is listed before, while and after it moves.
--
-- A host's set is changed by that host's agent alone.

-- In the place of a name between two @ the build puts the number that a C header gives it (embed.cmake).
local CREATED, RUNNING = @RT_SESSION_CREATED@, @RT_SESSION_RUNNING@
local MOVING, LOST, ENDED = @RT_SESSION_MOVING@, @RT_SESSION_LOST@, @RT_SESSION_ENDED@
local OK, RETRY_LATER, STALE, REWOUND = @RT_CLASS_OK@, @RT_CLASS_RETRY_LATER@, @RT_CLASS_STALE@, @RT_CLASS_REWOUND@
local FORKED, SUPERSEDED = @RT_CLASS_FORKED@, @RT_CLASS_SUPERSEDED@
local BAD_AUTH = @RT_CLASS_BAD_AUTH@
local NOT_FOUND, LIMIT = @RT_CLASS_NOT_FOUND@, @RT_CLASS_LIMIT@
local LEASE_MS = @RT_LEASE_MS@
local RETRY_MS = @RT_CLAIM_RETRY_MS@
local ANCESTORS_MAX = @RT_ANCESTORS_MAX@
local HISTORY_MAX = @RT_HISTORY_MAX@
local PAST_MAX = @RT_PAST_MAX@
local LABEL_MAX = @RT_LABEL_MAX@
local HOST_MAX = @RT_HOST_MAX@
local NUMBER_MAX = @RT_COUNTER_MAX@ - 1
local TTL_MS = @RT_RECORD_TTL_MS@
local SET_TTL_MS = @RT_SET_TTL_MS@
-- For so long a session stays in the set of the host that it left, so that a search finds it in one of the two.
local LINGER_MS = 60000
local END_TTL_MS = @RT_END_TTL_MS@
local ID_HEX = 2 * @RT_ID_SIZE@

local NO_ID = '00000000000000000000000000000000'

local function store_ms()
    local t = redis.call('TIME')
    return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- Lua's own conversion rounds to 14 digits.
local function str(n)
    return string.format('%.0f', n)
end

local RULE_FIELDS = {'st', 'life', 'ep', 'inc', 'tkt', 'anc', 'nonce', 'host', 'lost', 'bound', 'set'}

-- revoked: KEYS[3], where what is done goes by it.
local function read_record(key, revoked)
    local v = redis.call('HMGET', key, unpack(RULE_FIELDS))
    local rev = revoked and tonumber(redis.call('GET', revoked) or 0) or 0
    if not v[1] then
        return {exists = false, st = 0, life = 0, ep = 0, inc = NO_ID, tkt = NO_ID, anc = '', nonce = NO_ID, host = '',
                lost = 0, bound = '', set = '', rev = rev}
    end
    return {
        exists = true,
        rev = rev,
        st = tonumber(v[1]) or 0,
        life = tonumber(v[2] or 0) or 0,
        ep = tonumber(v[3] or 0) or 0,
        inc = v[4] or NO_ID,
        tkt = v[5] or NO_ID,
        anc = v[6] or '',
        nonce = v[7] or NO_ID,
        host = v[8] or '',
        lost = tonumber(v[9] or 0) or 0,
        bound = v[10] or '',
        set = v[11] or '',
    }
end

-- The rules: the twin of migrate/core/claim.c, row by row and name by name.

local REC_NONE, REC_CREATED, REC_SERVED, REC_LOST, REC_ENDED = 'none', 'created', 'served', 'lost', 'ended'
local BY_SAME, BY_OTHER_TICKET, BY_OTHER_JOIN = 'same', 'ticket', 'join'
local ALL_RECORDS = {none = true, created = true, served = true, lost = true, ended = true}
local CLAIMED = {served = true, lost = true, ended = true}
local ANYONE = {same = true, ticket = true, join = true}
local SAME, BY_TICKET, BY_JOIN = {same = true}, {ticket = true}, {join = true}

local RULES = {
    {ALL_RECORDS, ANYONE, 'revoked', BAD_AUTH},

    {ALL_RECORDS, ANYONE, 'repeated', OK, 'recorded'},

    {{none = true}, BY_JOIN, 'whole', OK, 'next'},
    {{none = true}, BY_JOIN, nil, RETRY_LATER},
    {{none = true}, BY_TICKET, nil, OK, 'ticket'},

    {{created = true}, BY_JOIN, nil, OK, 'next'},
    {{created = true}, BY_TICKET, 'life_newer', OK, 'ticket'},
    {{created = true}, BY_TICKET, nil, SUPERSEDED},

    {CLAIMED, SAME, 'ancestor', REWOUND},
    {CLAIMED, SAME, 'diverges', FORKED},
    {CLAIMED, SAME, 'epoch_newer', OK, 'recorded'},
    {CLAIMED, SAME, 'same_hello', OK, 'recorded'},
    {CLAIMED, SAME, nil, STALE},

    {CLAIMED, BY_TICKET, 'life_newer', OK, 'ticket'},
    {CLAIMED, BY_TICKET, nil, SUPERSEDED},

    {{served = true, lost = true}, BY_JOIN, 'same_vm', OK, 'next'},
    {{served = true}, BY_JOIN, 'owner_dead', OK, 'next'},
    {{served = true}, BY_JOIN, nil, RETRY_LATER},
    {{lost = true}, BY_JOIN, 'lease_over', OK, 'next'},
    {{lost = true}, BY_JOIN, nil, RETRY_LATER},
    {{ended = true}, BY_JOIN, nil, OK, 'next'},
}

local function record_kind(r)
    if not r.exists then
        return REC_NONE
    elseif r.st == CREATED then
        return REC_CREATED
    elseif r.st == LOST then
        return REC_LOST
    elseif r.st == ENDED then
        return REC_ENDED
    end
    return REC_SERVED
end

local function same_text(a, b)
    return a ~= '' and a == b
end

local function has_id(ids, id)
    for at = 1, #ids, ID_HEX do
        if string.sub(ids, at, at + ID_HEX - 1) == id then
            return true
        end
    end
    return false
end

local function relation(c, r)
    if c.tkt == r.tkt then
        return 'same'
    elseif has_id(c.anc, r.tkt) then
        return 'descends'
    elseif has_id(r.anc, c.tkt) then
        return 'ancestor'
    end
    return 'diverges'
end

-- Whether hex id a is above b, as unsigned bytes. By numbers: text compares by the server's locale.
local function id_above(a, b)
    for at = 1, ID_HEX, 8 do
        local x, y = tonumber(string.sub(a, at, at + 7), 16), tonumber(string.sub(b, at, at + 7), 16)
        if x ~= y then
            return x > y
        end
    end
    return false
end

local function repeated(r, c)
    return r.exists and r.st ~= CREATED and r.inc == c.inc and r.ep == c.ep and r.nonce == c.nonce and
               r.host == c.host and r.tkt == c.next
end

local function facts_of(r, c, now)
    local rel = 'ancestor'
    if not c.join then
        rel = relation(c, r)
    end
    return {
        revoked = r.rev > 0 and (c.join and c.base or c.life) <= r.rev,
        repeated = repeated(r, c),
        whole = c.whole,
        ancestor = rel == 'ancestor',
        diverges = rel == 'diverges',
        epoch_newer = c.ep > r.ep,
        same_hello = c.ep == r.ep and c.nonce == r.nonce and c.host == r.host,
        life_newer = c.life > r.life or (c.life == r.life and r.st ~= CREATED and id_above(c.inc, r.inc)),
        same_vm = same_text(c.proof, r.bound),
        owner_dead = same_text(c.dead, r.host),
        lease_over = r.lost + LEASE_MS <= now,
    }
end

local function find_rule(r, c, now)
    local kind = record_kind(r)
    local by = (c.join or not c.taken) and BY_OTHER_JOIN or BY_OTHER_TICKET
    if CLAIMED[kind] and r.inc == c.inc then
        by = BY_SAME
    end
    local facts = facts_of(r, c, now)
    for _, rule in ipairs(RULES) do
        if rule[1][kind] and rule[2][by] and (not rule[3] or facts[rule[3]]) then
            return rule
        end
    end
end

local function next_life(r, c, now)
    local least = math.max(r.life, r.rev) + 1
    if c.granted ~= 0 then
        return c.granted >= least and c.granted or 0
    end
    if not c.join and c.life >= least then
        return c.life
    end
    return math.max(least, c.life + 1, now)
end

local function judge(r, c, now)
    local rule = find_rule(r, c, now)
    local o = {verdict = rule[4], draining = false, life = 0, ep = 0, delay = 0, host = r.host, moved = false}
    if rule[5] == 'recorded' then
        o.life = r.life
        o.draining = r.st == ENDED
    elseif rule[5] == 'ticket' then
        o.life = c.life
    elseif rule[5] == 'next' then
        o.life = next_life(r, c, now)
        if o.life == 0 then
            o.verdict = RETRY_LATER
        end
    end
    if o.verdict == OK then
        o.moved = o.host ~= '' and o.host ~= c.host
    elseif o.verdict == BAD_AUTH then
        o.life = r.rev
    elseif o.verdict == STALE then
        o.ep = r.ep
    elseif o.verdict == RETRY_LATER then
        o.delay = RETRY_MS
        if r.exists and r.st == LOST and r.lost + LEASE_MS > now and r.lost + LEASE_MS - now < RETRY_MS then
            o.delay = r.lost + LEASE_MS - now
        end
    end
    return o
end

-- A new entry for another host or another life; a mere reconnect raises the newest entry's epoch.
local function history(key, c, o, now)
    local hist = redis.call('HGET', key, 'hist') or ''
    local lines = {}
    for line in string.gmatch(hist, '[^\n]+') do
        lines[#lines + 1] = line
    end
    local life, at, host = string.match(lines[#lines] or '', '^(%d+) %d+ (%d+) (.*)$')
    if life == str(o.life) and host == c.host then
        lines[#lines] = table.concat({life, str(c.ep), at, host}, ' ')
    else
        lines[#lines + 1] = table.concat({str(o.life), str(c.ep), str(now), c.host}, ' ')
    end
    local first = math.max(1, #lines - HISTORY_MAX + 1)
    return table.concat(lines, '\n', first) .. '\n'
end

-- A record's past is what no claim tells: "made moves ring bytes-of-label\n", the label, hist. Each take gives it to the
-- agent, which keeps the text as it is and gives it back with the next one: a store that has lost the record has its
-- past again. hist is given without its oldest lines where all would be longer than PAST_MAX.

local function past_of(key)
    local v = redis.call('HMGET', key, 'made', 'moves', 'ring', 'label', 'hist')
    local label, hist = v[4] or '', v[5] or ''
    local head = table.concat({v[1] or '0', v[2] or '0', v[3] or '0', str(#label)}, ' ') .. '\n' .. label
    while hist ~= '' and #head + #hist > PAST_MAX do
        hist = string.match(hist, '^[^\n]*\n(.*)$') or ''
    end
    return #head <= PAST_MAX and head .. hist or ''
end

local function is_number(digits)
    return #digits <= 16 and tonumber(digits) <= NUMBER_MAX
end

local function is_history(hist)
    local lines, at = 0, 1
    while at <= #hist do
        local life, ep, ms, host, after = string.match(hist, '^(%d+) (%d+) (%d+) ([!-~]+)\n()', at)
        lines = lines + 1
        if not life or not is_number(life) or not is_number(ep) or not is_number(ms) or #host > HOST_MAX or
            lines > HISTORY_MAX then
            return false
        end
        at = after
    end
    return true
end

-- Writes the past that an agent gave; nothing of one that past_of() could not have written.
local function restore(key, past, now)
    local made, moves, ring, size, rest = string.match(past, '^(%d+) (%d+) (%d+) (%d+)\n(.*)$')
    if #past > PAST_MAX or not made or not is_number(made) or not is_number(moves) or not is_number(ring) or
        not is_number(size) then
        return
    end
    size = tonumber(size)
    local label, hist = string.sub(rest, 1, size), string.sub(rest, size + 1)
    if size > LABEL_MAX or #label ~= size or string.find(label, '%z') or not is_history(hist) then
        return
    end
    redis.call('HSET', key, 'made', str(math.min(tonumber(made), now)), 'moves', moves, 'ring', ring, 'label', label,
               'hist', hist)
end

-- Two copies may have been given one life, and come at one epoch.
local function is_new(r, c, o)
    return o.life ~= r.life or c.ep ~= r.ep or c.inc ~= r.inc or not r.exists
end

local function apply(keys, r, c, o, now)
    if repeated(r, c) then
        return
    end
    local key = keys[1]
    local anc = ''
    if not c.join then
        anc = string.sub(c.tkt .. c.anc, 1, ANCESTORS_MAX * ID_HEX)
    end
    if not r.exists then
        redis.call('HSET', key, 'made', str(now))
    end
    -- A record made anew over a lost one of a container that is served is that container's.
    if not r.exists or (r.st == CREATED and not c.join) then
        restore(key, c.past, now)
    end
    if o.life ~= r.life or c.inc ~= r.inc then
        redis.call('HDEL', key, 'rep', 'seen', 'code', 'sig', 'out', 'err', 'keeper', 'cut')
        redis.call('DEL', keys[2])
    end
    if is_new(r, c, o) then
        redis.call('HSET', key, 'hist', history(key, c, o, now), 'claimed', str(now))
        if o.moved then
            redis.call('HINCRBY', key, 'moves', 1)
        end
    end
    redis.call('HSET', key, 'st', o.draining and ENDED or RUNNING, 'life', str(o.life), 'ep', str(c.ep), 'inc', c.inc,
               'tkt', c.next, 'anc', anc, 'nonce', c.nonce, 'host', c.host, 'bound', c.proof, 'lost', '0')
    redis.call('PEXPIRE', key, o.draining and END_TTL_MS or TTL_MS)
end

-- args: "test" or "take"; join, inc, life, epoch, nonce, ticket, ancestors, next ticket, host, proof, dead host,
-- store whole, granted life; tenant, cid (for the message); past, used where there is no record; taken; base.
-- -> verdict, draining, life, epoch, delay, host before, moved, host whose set lists it so far, past (once taken)
local function claim(keys, args)
    local now = store_ms()
    local r = read_record(keys[1], keys[3])
    local c = {
        join = args[2] == '1',
        inc = args[3],
        life = tonumber(args[4]),
        ep = tonumber(args[5]),
        nonce = args[6],
        tkt = args[7],
        anc = args[8],
        next = args[9],
        host = args[10],
        proof = args[11],
        dead = args[12],
        whole = args[13] == '1',
        granted = tonumber(args[14]),
        past = args[17],
        taken = args[18] == '1',
        base = tonumber(args[19]),
    }
    local o = judge(r, c, now)
    local past = ''
    if args[1] == 'take' and o.verdict == OK then
        apply(keys, r, c, o, now)
        past = past_of(keys[1])
        if is_new(r, c, o) then
            redis.call('PUBLISH', 'rt:claimed', table.concat({str(o.life), str(c.ep), c.host, args[15], args[16]}, '\n'))
        end
    end
    return {o.verdict, o.draining and 1 or 0, o.life, o.ep, o.delay, o.host, o.moved and 1 or 0, r.set, past}
end

-- Whether it has been lost for its lease, or its owner been found dead that long ago.
local function is_gone(r)
    return r.exists and r.st ~= ENDED and r.lost > 0 and r.lost + LEASE_MS <= store_ms()
end

-- Sessions that are only made are what fills a store without anybody serving them: they have all but the last tenth of
-- its memory, which is kept for those that run. A store without a limit has no tenth.
local CREATE_PERCENT_MAX = 90

local function has_room()
    local memory = redis.call('INFO', 'memory')
    local used, most = string.match(memory, 'used_memory:(%d+)'), string.match(memory, 'maxmemory:(%d+)')
    return not used or not most or tonumber(most) == 0 or
               tonumber(used) <= tonumber(most) / 100 * CREATE_PERCENT_MAX
end

-- args: label, ring; tenant, cid (for the message); the host whose set lists it. -> verdict, the lowest life that the new container may start
-- Over a record that has ended, is lost for its lease, or is revoked, its life is kept, so that a straggler of that life
-- cannot pass for the new container.
local function create(keys, args)
    local r = read_record(keys[1], keys[3])
    local life = r.rev > 0 and math.max(r.life, r.rev + 1) or r.life
    local revoked = r.rev > 0 and r.life <= r.rev
    if r.exists and r.st ~= ENDED and not revoked and not is_gone(r) then
        return {LIMIT, 0}
    end
    if not has_room() then
        return redis.error_reply('OOM the last tenth of the memory is kept for the sessions that run')
    end
    redis.call('DEL', keys[1], keys[2])
    redis.call('HSET', keys[1], 'st', CREATED, 'life', str(life), 'ep', '0', 'made', str(store_ms()), 'label', args[1],
               'ring', args[2], 'set', args[5])
    if r.rev > 0 then
        redis.call('HSET', keys[1], 'rev', str(r.rev))
    end
    redis.call('PEXPIRE', keys[1], TTL_MS)
    -- Whoever serves it all the same, because the store lost the record, takes it again at once.
    if not r.exists then
        redis.call('PUBLISH', 'rt:claimed', table.concat({'0', '0', '', args[3], args[4]}, '\n'))
    end
    return {OK, life + 1}
end

-- No life and no token that there is by now is served any more. args: life, the least that is revoked: an agent that had
-- it revoked before tells so a store that may have lost it, else 0; the newest life that the asking agent knows of;
-- whether the store is whole; tenant, cid (for the message). -> verdict, the highest life that is revoked
local function revoke(keys, args)
    local r = read_record(keys[1], keys[3])
    local rev, known = tonumber(args[1]), tonumber(args[2])
    if rev == 0 and not r.exists and known == 0 and args[3] == '1' then
        return {NOT_FOUND, 0}
    elseif rev == 0 then
        -- Whoever was made over this record may start at its life + 1.
        rev = math.max(r.life + 1, r.rev + 1, known, store_ms())
    end
    if rev <= r.rev then
        return {OK, r.rev}
    end
    redis.call('SET', keys[3], str(rev))
    if r.exists then
        redis.call('HSET', keys[1], 'rev', str(rev))
    end
    -- A claim has a host.
    redis.call('PUBLISH', 'rt:claimed', table.concat({str(rev), '0', '', args[4], args[5]}, '\n'))
    return {OK, rev}
end

-- Takes back a record that nobody has claimed; its place in the host's set goes with the walk. -> verdict, 0
local function remove(keys)
    local r = read_record(keys[1])
    if not r.exists then
        return {NOT_FOUND, 0}
    elseif r.st ~= CREATED then
        return {LIMIT, 0}
    end
    redis.call('DEL', keys[1], keys[2])
    return {OK, 0}
end

-- Takes a session into a host's set. KEYS: the set. args: member
local function list(keys, args)
    redis.call('ZADD', keys[1], 0, args[1])
    redis.call('PEXPIRE', keys[1], SET_TTL_MS)
    return 1
end

-- From here on the session is listed by that host. args: host. -> 1; 0: it is not that host's (any more)
local function listed(keys, args)
    local r = read_record(keys[1])
    if not r.exists or (r.host ~= args[1] and r.st ~= CREATED) then
        return 0
    end
    redis.call('HSET', keys[1], 'set', args[1])
    return 1
end

-- What a write under a claim is answered: 0 written, 1 no record, 2 the record is at another claim, 3 this life has ended
-- in another way; then the record's claim.
local WRITTEN, NO_RECORD = @RT_STORE_WRITTEN@, @RT_STORE_NO_RECORD@
local OTHER_CLAIM, OTHER_END = @RT_STORE_OTHER_CLAIM@, @RT_STORE_OTHER_END@

local function answer(code, r)
    return {code, r.life, r.ep, r.host}
end

local function fence(r, life, ep, host)
    if not r.exists then
        return NO_RECORD
    elseif r.st == CREATED or r.life ~= tonumber(life) or (ep and r.ep ~= tonumber(ep)) or (host and r.host ~= host) then
        return OTHER_CLAIM
    end
    return WRITTEN
end

-- args: life, epoch, host, state, whether another host writes it: its owner is dead. Then the record keeps its state, so
-- that its next start has no lease to wait for, and is marked with the time, from which on it counts as lost.
local function state(keys, args)
    local r = read_record(keys[1])
    local code = fence(r, args[1], args[2], args[3])
    if code == WRITTEN and r.st == ENDED then
        code = OTHER_CLAIM
    end
    if code == WRITTEN then
        local st = tonumber(args[4])
        if args[5] == '1' then
            if r.lost == 0 then
                redis.call('HSET', keys[1], 'lost', str(store_ms()))
            end
            return answer(code, r)
        end
        -- Found lost while its owner was halted, it is not back because that owner now finds its guest gone.
        if st == MOVING and r.lost > 0 then
            return answer(code, r)
        end
        -- A lease that runs is not started anew by a repetition.
        if st == LOST and r.st ~= LOST then
            redis.call('HSET', keys[1], 'lost', str(store_ms()))
        elseif st ~= LOST then
            redis.call('HSET', keys[1], 'lost', '0')
        end
        redis.call('HSET', keys[1], 'st', st)
        redis.call('PEXPIRE', keys[1], TTL_MS)
    end
    return answer(code, r)
end

-- args: life, epoch, host, report
local function report(keys, args)
    local r = read_record(keys[1])
    local code = fence(r, args[1], args[2], args[3])
    if code == WRITTEN then
        redis.call('HSET', keys[1], 'rep', args[4], 'seen', str(store_ms()))
        redis.call('PEXPIRE', keys[1], r.st == ENDED and END_TTL_MS or TTL_MS)
    end
    return answer(code, r)
end

-- A look at a session that a host's set lists, in the course of that agent's walk over it. Keeps a record that nothing
-- writes from expiring while its container lives. args: host. -> 1; 0: it is to be taken out of the set
local function touch(keys, args)
    local r = read_record(keys[1])
    if not r.exists then
        return 0
    elseif r.set ~= '' and r.set ~= args[1] and r.host ~= args[1] then
        local since = tonumber(redis.call('HGET', keys[1], r.st == CREATED and 'made' or 'claimed') or 0) or 0
        return store_ms() - since < LINGER_MS and 1 or 0
    end
    if r.st ~= ENDED and r.st ~= LOST and redis.call('PTTL', keys[1]) < TTL_MS / 2 then
        redis.call('PEXPIRE', keys[1], TTL_MS)
    end
    return 1
end

-- A server that is full refuses new sessions, reports and tails, but not what tells who lives, who serves and who has
-- ended.
local function register(name, callback, ...)
    redis.register_function{function_name = 'rt_@version@_' .. name, callback = callback, flags = {...}}
end

register('claim', claim, 'allow-oom')
register('state', state, 'allow-oom')
register('touch', touch, 'allow-oom')
register('list', list, 'allow-oom')
register('listed', listed, 'allow-oom')
register('create', create)
register('revoke', revoke, 'allow-oom')
register('remove', remove, 'allow-oom')
register('report', report)
