-- Shared by the journal's scripts. An entry is a MessagePack map of strings (records.py) in the hash ENTRIES; the
-- other keys are indices of them, but RATE (times of the last second's increasing GOs), EPOCH and SEQUENCE.

local ENTRIES, OPEN, RESTING, DOUBTFUL, TAGS, RATE, EPOCH, SEQUENCE = unpack(KEYS)

local IN_DOUBT = {SENDING = true, UNKNOWN = true}
local RESTS = {PLACED = true, PARTIALLY_FILLED = true}
local ACCEPTED = {PLACED = true, PARTIALLY_FILLED = true, FILLED = true, CANCELLED = true}

local now = time_us()

local function load(id)
  local packed = id and redis.call('HGET', ENTRIES, id)
  return packed and cmsgpack.unpack(packed)
end

-- The entry of a signal; an orphan (booked by its tag alone) is the entry of the tag's signal.
local function find(id, tag)
  local entry = load(id)
  if not entry then entry = load(redis.call('HGET', TAGS, tag)) end -- guard: tag
  return entry
end

-- The key that holds the ids in doubt of one order key.
local function doubtful_of(key)
  return DOUBTFUL .. ':' .. key
end

-- Puts the id into an index, keeping its place if it is there, or takes it out.
local function mark(index, id, place, present)
  if present then
    redis.call('ZADD', index, 'NX', place, id)
  else
    redis.call('ZREM', index, id)
  end
end

-- Stores a new or changed entry: it is in OPEN until this revision is acknowledged. Returns it packed.
local function put(entry)
  local id, packed, place = entry.id, cmsgpack.pack(entry), redis.call('INCR', SEQUENCE)
  local in_doubt = IN_DOUBT[entry.state]
  redis.call('HSET', ENTRIES, id, packed)
  redis.call('HSETNX', TAGS, entry.tag, id)
  redis.call('ZADD', OPEN, place, id)
  mark(RESTING, id, place, RESTS[entry.state])
  mark(DOUBTFUL, id, place, in_doubt)
  mark(doubtful_of(entry.key), id, place, in_doubt)
  return packed
end

-- A revision is greater than any before it, also than those of a tail that the store has lost: the time is.
local function revision_after(least)
  return whole(math.max(least, now))
end

-- Changes an entry as the outcome says. What has filled stays filled.
local function changed(entry, outcome)
  local fills = entry
  if outcome.filled_order >= entry.filled_order then fills = outcome end
  for _, name in ipairs({'filled', 'filled_order', 'average_price', 'amount', 'fees'}) do
    entry[name] = fills[name]
  end
  if outcome.broker_order_id ~= '' then entry.broker_order_id = outcome.broker_order_id end
  if outcome.triggered ~= '' then entry.triggered = outcome.triggered end
  entry.state, entry.code, entry.message = outcome.state, outcome.code, outcome.message
  entry.revision = revision_after(tonumber(entry.revision) + 1)
  entry.updated_at = as_ns(now)
  return put(entry)
end

-- Settles an entry in doubt; UNKNOWN over UNKNOWN changes nothing.
local function settled(entry, outcome)
  if outcome.state == entry.state then return cmsgpack.pack(entry) end -- guard: unknown again
  return changed(entry, outcome)
end

local function terminal(entry)
  return not IN_DOUBT[entry.state] and not RESTS[entry.state]
end

-- The epoch that is valid in the present run of the store, or false.
local function valid_epoch()
  local epoch = redis.call('HMGET', EPOCH, 'run', 'value')
  if epoch[1] ~= run_id() then return false end -- guard: epoch's run
  return epoch[2]
end
