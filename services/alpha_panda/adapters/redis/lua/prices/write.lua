-- KEYS: the feed's heartbeats. ARGV: prefix of the price keys, key of the watched tokens, feed epoch, partitions,
-- heartbeats {partition, ns, …}, then for each epoch among the quotes: that epoch, {token, seq, quote, …}.
-- Replies the watchers' tokens, as they stand when the quotes do.
--
-- Numbers are compared as text, exactly at any size. A stored quote is asked for two of its numbers by a pattern: to
-- parse it would cost more than all else here. They stand at its end, hence the place from which to look first.

local STAMP, FIRST_LOOK, CHUNK = '"feed_epoch":(%d+),"seq":(%d+)', 45, 3000

local function above(a, b)
  return #a > #b or (#a == #b and a > b)
end

local function stamp_of(quote)
  local epoch, seq = string.match(quote, STAMP, FIRST_LOOK)
  if epoch then return epoch, seq end
  return string.match(quote, STAMP)
end

local function is_newer(epoch, seq, stored)
  local stored_epoch, stored_seq = stamp_of(stored)
  if not stored_epoch then return true end
  if epoch == stored_epoch then return above(seq, stored_seq) end -- guard: newer sequence
  return above(epoch, stored_epoch) -- guard: newer epoch
end

-- Redis passes at most some 8,000 values to one command.
local function put_chunk(prefix, epoch, items, first, last)
  local keys, count = {}, 0
  for at = first, last, 3 do
    count = count + 1
    keys[count] = prefix .. items[at]
  end
  local stored = redis.call('MGET', unpack(keys))
  local taken, size = {}, 0
  for index = 1, count do
    local at = first + (index - 1) * 3
    if not stored[index] or is_newer(epoch, items[at + 1], stored[index]) then
      taken[size + 1], taken[size + 2] = keys[index], items[at + 2]
      size = size + 2
    end
  end
  if size > 0 then redis.call('MSET', unpack(taken)) end
end

-- {"feed_epoch":e,"partitions":n,"heartbeats":{"0":ns,…}}; Python reads it, only this script writes it.
local function written(epoch, partitions, beats)
  local parts = {}
  for partition, ts in pairs(beats) do parts[#parts + 1] = '"' .. partition .. '":' .. ts end
  return '{"feed_epoch":' .. epoch .. ',"partitions":' .. partitions .. ',"heartbeats":{' .. table.concat(parts, ',') .. '}}'
end

local prefix, watched, epoch, partitions = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local proofs = cmsgpack.unpack(ARGV[6])
local stored, beats = redis.call('GET', KEYS[1]), {}
if stored then
  local present = string.match(stored, '"feed_epoch":(%d+)')
  if above(present, epoch) then -- guard: feed epoch
    return fenced(KEYS[1] .. ': epoch ' .. epoch .. ' is stale, the present one is ' .. present)
  end
  if present == epoch and string.match(stored, '"partitions":(%d+)') == partitions then -- guard: own proofs
    for partition, ts in string.gmatch(stored, '"(%d+)":(%d+)') do beats[partition] = ts end
  end
end
for at = 1, #proofs, 2 do
  local known = beats[proofs[at]]
  if not known or above(proofs[at + 1], known) then beats[proofs[at]] = proofs[at + 1] end -- guard: newer heartbeat
end
for group = 7, #ARGV, 2 do
  local items = cmsgpack.unpack(ARGV[group + 1])
  for first = 1, #items, CHUNK do
    put_chunk(prefix, ARGV[group], items, first, math.min(first + CHUNK - 1, #items))
  end
end
redis.call('SET', KEYS[1], written(epoch, partitions, beats))
return redis.call('HVALS', watched)
