-- KEYS: entries, index. ARGV: place, limit. Replies {place of the last, nil where none is left; entries}: those of
-- the index after the place, in its order.
local after, limit = ARGV[2], tonumber(ARGV[3])
local found = redis.call('ZRANGE', KEYS[2], '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
if #found == 0 then return {false, {}} end
local ids = {}
for at = 1, #found, 2 do table.insert(ids, found[at]) end
return {#ids == limit and found[#found], redis.call('HMGET', KEYS[1], unpack(ids))}
