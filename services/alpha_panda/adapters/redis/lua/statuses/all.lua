-- KEYS: index {key → expires_us}. Replies the statuses that have not expired.
local CHUNK, found = 1000, {} -- Redis passes at most some 8,000 values to one command
local keys = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(time_us()), '+inf')
for first = 1, #keys, CHUNK do
  local values = redis.call('MGET', unpack(keys, first, math.min(first + CHUNK - 1, #keys)))
  for _, value in ipairs(values) do
    if value then found[#found + 1] = value end
  end
end
return found
