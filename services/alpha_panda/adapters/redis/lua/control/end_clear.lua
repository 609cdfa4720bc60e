-- KEYS: clears. ARGV: field, body of the request, body with its outcome.
if redis.call('HGET', KEYS[1], ARGV[2]) == ARGV[3] then
  redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
end
return redis.status_reply('OK')
