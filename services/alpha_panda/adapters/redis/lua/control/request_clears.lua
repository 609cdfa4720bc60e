-- KEYS: clears. ARGV: what the fields of the scope begin with; field and body of each latch that is named: all of them.
local prefix, named = ARGV[2], {}
for index = 3, #ARGV, 2 do named[ARGV[index]] = true end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, #prefix) == prefix and not named[field] then redis.call('HDEL', KEYS[1], field) end
end
for index = 3, #ARGV, 2 do
  redis.call('HSETNX', KEYS[1], ARGV[index], ARGV[index + 1]) -- guard: asked once
end
return redis.status_reply('OK')
