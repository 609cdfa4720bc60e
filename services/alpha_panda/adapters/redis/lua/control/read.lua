-- KEYS: spec and latches of each scope in turn. Replies of each: {spec or nil, expired, latches}.
local now, readings = time_us(), {}
for index = 1, #KEYS, 2 do
  local spec = redis.call('HMGET', KEYS[index], 'state', 'expires_us')
  local expired = spec[1] and now >= tonumber(spec[2]) and 1 or 0
  table.insert(readings, {spec[1], expired, redis.call('HVALS', KEYS[index + 1])})
end
return readings
