-- Shared by all scripts. ARGV[1] is the offset of the store's clock, for tests.
-- Times are whole microseconds here: a Lua number holds them exactly, nanoseconds it does not. What is stored and
-- answered is text, made and read by Python; no number of nanoseconds and no JSON is ever worked on here.

local function whole(number)
  return string.format('%.0f', number)
end

local function time_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1])
end

local function as_ns(us)
  return whole(us) .. '000'
end

-- The present run of the store: another one after each restart.
local function run_id()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

local function fenced(message)
  return redis.error_reply('FENCED ' .. message)
end

local function misuse(message)
  return redis.error_reply('MISUSE ' .. message)
end
