-- Trading states, as BEGIN reads them. Whatever is no known state counts as Halted.

local STRICTNESS = {Active = 0, Reducing = 1, Halted = 2}

local function strictness(state)
  return STRICTNESS[state] or 2
end

local function scope_strictness(spec_key, latches_key)
  local spec = redis.call('HMGET', spec_key, 'state', 'expires_us')
  local strictest = strictness(spec[1])
  if spec[1] and now >= tonumber(spec[2]) then strictest = 2 end -- guard: expired control key
  for _, packed in ipairs(redis.call('HVALS', latches_key)) do
    strictest = math.max(strictest, strictness(cmsgpack.unpack(packed).state)) -- guard: latch
  end
  return strictest
end

-- The strictest of all scopes, whose spec and latches keys stand in ARGV from `first` on; Halted without any.
local function binding_strictness(first)
  if #ARGV < first then return 2 end -- guard: no scopes
  local strictest = 0
  for index = first, #ARGV, 2 do
    strictest = math.max(strictest, scope_strictness(ARGV[index], ARGV[index + 1]))
  end
  return strictest
end

-- Counts one order; false (and nothing counted) if the last second has `limit` of them. No limit: nil.
local function take_token(limit)
  local oldest = redis.call('LINDEX', RATE, 0)
  while oldest and tonumber(oldest) <= now - 1000000 do
    redis.call('LPOP', RATE)
    oldest = redis.call('LINDEX', RATE, 0)
  end
  if limit and redis.call('LLEN', RATE) >= limit then return false end
  redis.call('RPUSH', RATE, whole(now))
  return true
end
