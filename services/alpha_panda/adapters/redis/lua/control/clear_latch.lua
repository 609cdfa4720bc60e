-- KEYS: latches. ARGV: id, the latch as it was looked at. Reply: 1 if it was that one, and is cleared.
if redis.call('HGET', KEYS[1], ARGV[2]) ~= ARGV[3] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[2])
