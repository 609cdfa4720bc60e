-- What `begin` and `refuse` share: a new entry, and its refusals. ARGV: id, tag, entry, send_within (ns), epoch,
-- decisions key.

local id, tag, send_within, asked_epoch = ARGV[2], ARGV[3], tonumber(ARGV[5]), ARGV[6]

local function stored_decision()
  local packed = redis.call('HGET', ARGV[7], id)
  return packed and cmsgpack.unpack(packed)
end

-- The entry as SENDING; without a decision it counts as increasing, the stricter class.
local function fresh_entry(decision)
  local entry = cmsgpack.unpack(ARGV[4])
  local send_by = whole(now + math.floor(send_within / 1000)) .. string.format('%03d', send_within % 1000)
  entry.class = decision and decision.class or 'increasing'
  entry.revision, entry.send_by = revision_after(0), send_by
  entry.created_at, entry.updated_at = as_ns(now), as_ns(now)
  return entry
end

local function stored(entry, go)
  return {go, 1, put(entry)}
end

local function duplicate(entry)
  return {0, 0, cmsgpack.pack(entry)}
end

local function refused(entry, code, message)
  entry.state, entry.attempt, entry.code, entry.message = 'FAILED', '', code, message
  return stored(entry, 0)
end

-- A signal of another epoch: a journal that has lost its tail may have sent it.
local function doubtful(entry)
  entry.state, entry.attempt = 'UNKNOWN', ''
  entry.code, entry.message = 'NOT_RECONCILED', 'decided under another journal epoch'
  return stored(entry, 0)
end
