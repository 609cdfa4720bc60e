-- A latch is a field of its scope's hash: {place, state, body}. `place` keeps the order in which they were set.

local function put_latch(key, latch_id, state, body)
  if redis.call('HEXISTS', key, latch_id) == 1 then return end -- guard: latch once
  local last = 0
  for _, packed in ipairs(redis.call('HVALS', key)) do
    last = math.max(last, tonumber(cmsgpack.unpack(packed).place))
  end
  redis.call('HSET', key, latch_id, cmsgpack.pack({place = whole(last + 1), state = state, body = body}))
end
