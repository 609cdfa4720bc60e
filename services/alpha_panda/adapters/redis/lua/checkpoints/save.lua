-- KEYS: the strategy's checkpoint. ARGV: incarnation, then fields and values.
local CHUNK = 2000 -- Redis passes at most some 8,000 values to one command
local claim = redis.call('HMGET', KEYS[1], 'incarnation', 'run_id')
if claim[1] ~= ARGV[2] or claim[2] ~= run_id() then -- guard: incarnation of this run
  return fenced(KEYS[1] .. ': incarnation ' .. ARGV[2] .. ' is stale; nothing stored')
end
for first = 3, #ARGV, CHUNK do
  redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + CHUNK - 1, #ARGV)))
end
return redis.status_reply('OK')
