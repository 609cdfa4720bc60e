-- KEYS: entries, index. Replies the entries of the index in its order.
local PAGE = 1000 -- arguments of one call: Lua's stack holds 8,000
local ids, entries = redis.call('ZRANGE', KEYS[2], 0, -1), {}
for first = 1, #ids, PAGE do
  local page = redis.call('HMGET', KEYS[1], unpack(ids, first, math.min(first + PAGE - 1, #ids)))
  for _, entry in ipairs(page) do table.insert(entries, entry) end
end
return entries
