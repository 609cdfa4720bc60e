-- KEYS: lease. ARGV: owner, ttl_us. Replies the new epoch, or nil while somebody else holds the lease.
local now, owner = time_us(), ARGV[2]
local lease = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'expires_us')
local held = lease[1] and lease[1] ~= '' and lease[1] ~= owner
if held and now < tonumber(lease[3]) then return false end -- guard: held lease
-- Greater than ever before, also if the store has lost what it had: more time has passed than epochs were given.
local epoch = whole(math.max(tonumber(lease[2] or 0) + 1, now))
redis.call('HSET', KEYS[1], 'owner', owner, 'epoch', epoch, 'run', run_id(), 'expires_us', whole(now + tonumber(ARGV[3])))
return epoch
