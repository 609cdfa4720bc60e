-- KEYS: claim. ARGV: epoch. Fenced unless it is the epoch that was claimed last.
if unclaimed(KEYS[1], ARGV[2]) then return fenced('risk epoch ' .. ARGV[2] .. ' is stale') end -- guard: claim holds
return redis.status_reply('OK')
