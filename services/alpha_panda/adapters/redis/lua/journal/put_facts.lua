-- KEYS: facts. ARGV: lease key, lease epoch, facts.
if stale_lease(ARGV[2], ARGV[3]) then return fenced('the order-tracker lease of epoch ' .. ARGV[3] .. ' is stale') end -- guard: facts lease
redis.call('HSET', KEYS[1], 'facts', ARGV[4])
return redis.status_reply('OK')
