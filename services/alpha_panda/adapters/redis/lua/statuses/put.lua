-- KEYS: status, index {key → expires_us}. ARGV: status, ttl_us.
local now = time_us()
redis.call('SET', KEYS[1], ARGV[2], 'PX', whole(math.max(1, math.ceil(tonumber(ARGV[3]) / 1000))))
redis.call('ZADD', KEYS[2], whole(now + tonumber(ARGV[3])), KEYS[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', whole(now))
return redis.status_reply('OK')
