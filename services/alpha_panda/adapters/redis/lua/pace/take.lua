-- KEYS: one for each window. ARGV further, for each: length_us, limit, offset_us, "1" if it is rolling.
-- Counts one call in all windows and replies "0", or in none and replies the microseconds until there is a place.
-- A rolling window is a list of the times of its last calls, another one the number of the window and its count.
local now, wait = time_us(), 0
local counts, numbers = {}, {}
for i, key in ipairs(KEYS) do
  local first = 2 + (i - 1) * 4
  local length, limit = tonumber(ARGV[first]), tonumber(ARGV[first + 1])
  if limit < 1 or length < 1 then return misuse('a window takes at least one call') end
  if ARGV[first + 3] == '1' then
    local oldest = redis.call('LINDEX', key, -limit)
    local due = oldest and tonumber(oldest) + length - now or 0
    -- Times far ahead are of a clock that was set back since: who waited for them would wait for hours.
    if due <= 2 * length then wait = math.max(wait, due) end
  else
    local shifted = now + tonumber(ARGV[first + 2])
    local number = whole(math.floor(shifted / length))
    local stored = redis.call('HMGET', key, 'window', 'count')
    counts[i] = stored[1] == number and tonumber(stored[2]) or 0
    numbers[i] = number
    if counts[i] >= limit then wait = math.max(wait, length - shifted % length) end
  end
end
if wait > 0 then return whole(wait) end
for i, key in ipairs(KEYS) do
  local limit = tonumber(ARGV[3 + (i - 1) * 4])
  if numbers[i] then
    redis.call('HSET', key, 'window', numbers[i], 'count', counts[i] + 1)
  else
    redis.call('RPUSH', key, whole(now))
    while redis.call('LLEN', key) > limit do redis.call('LPOP', key) end
  end
end
return '0'
