-- KEYS: latches. ARGV: id, state, body.
put_latch(KEYS[1], ARGV[2], ARGV[3], ARGV[4])
return redis.status_reply('OK')
