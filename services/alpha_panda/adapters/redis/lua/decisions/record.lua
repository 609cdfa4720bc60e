-- KEYS: claim, decisions, snapshot, folds. ARGV: epoch, then id and decision of each. Replies the stored decisions.

local function decided(id, decision)
  local earlier = redis.call('HGET', KEYS[2], id)
  if earlier then return earlier end -- guard: decided once
  redis.call('HSET', KEYS[2], id, decision)
  return decision
end

if unclaimed(KEYS[1], ARGV[2]) then return fenced('risk epoch ' .. ARGV[2] .. ' is stale; nothing was stored') end -- guard: record
local stored = {}
for at = 3, #ARGV, 2 do
  stored[#stored + 1] = decided(ARGV[at], ARGV[at + 1])
end
return stored
