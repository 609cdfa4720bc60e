-- KEYS: lease. ARGV: owner, epoch. The epoch stays: the next one is greater.
local lease = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if lease[1] ~= ARGV[2] or lease[2] ~= ARGV[3] then return 0 end -- guard: release
redis.call('HSET', KEYS[1], 'owner', '')
return 1
