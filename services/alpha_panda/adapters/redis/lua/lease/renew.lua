-- KEYS: lease. ARGV: owner, epoch, ttl_us.
if stale_lease(KEYS[1], ARGV[3]) then return fenced('lease ' .. KEYS[1] .. ': epoch ' .. ARGV[3] .. ' is stale') end -- guard: renewal
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[2] then return fenced('lease ' .. KEYS[1] .. ': ' .. ARGV[2] .. ' does not hold it') end -- guard: owner
redis.call('HSET', KEYS[1], 'expires_us', whole(time_us() + tonumber(ARGV[4])))
return redis.status_reply('OK')
