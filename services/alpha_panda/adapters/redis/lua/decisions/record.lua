-- KEYS: claim, decisions, snapshot, folds. ARGV: epoch, then id and decision of each. Replies the stored decisions.
if unclaimed(KEYS[1], ARGV[2]) then return fenced('risk epoch ' .. ARGV[2] .. ' is stale; nothing was stored') end -- guard: record
local stored = {}
for at = 3, #ARGV, 2 do
  local earlier = redis.call('HGET', KEYS[2], ARGV[at])
  if not earlier then redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1]) end -- guard: decided once
  stored[#stored + 1] = earlier or ARGV[at + 1]
end
return stored
