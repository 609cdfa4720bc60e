-- KEYS: spec. ARGV: state, ttl_us. No expiry of the key itself: expired must differ from never written.
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'expires_us', whole(time_us() + tonumber(ARGV[3])))
return redis.status_reply('OK')
