-- KEYS: claim, decisions, snapshot, folds. ARGV: epoch, snapshot, then id and fold in turn.
if unclaimed(KEYS[1], ARGV[2]) then return fenced('risk epoch ' .. ARGV[2] .. ' is stale; nothing was stored') end -- guard: save
redis.call('SET', KEYS[3], ARGV[3])
for index = 4, #ARGV, 2 do
  redis.call('HSET', KEYS[4], ARGV[index], ARGV[index + 1])
end
return redis.status_reply('OK')
