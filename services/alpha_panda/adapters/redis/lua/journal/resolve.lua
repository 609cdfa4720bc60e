-- ARGV: lease key, lease epoch, id, outcome. Replies the entry, or nil if it is not in doubt any more.

-- Nanoseconds as text, rounded up to microseconds.
local function ceil_us(ns)
  if #ns <= 3 then return tonumber(ns) > 0 and 1 or 0 end
  return tonumber(string.sub(ns, 1, -4)) + (string.sub(ns, -3) == '000' and 0 or 1)
end

if stale_lease(ARGV[2], ARGV[3]) then return fenced('the order-tracker lease of epoch ' .. ARGV[3] .. ' is stale') end -- guard: resolve lease
local entry, outcome = load(ARGV[4]), cmsgpack.unpack(ARGV[5])
if not entry then return false end
if not IN_DOUBT[entry.state] then return false end -- guard: resolve in doubt
if outcome.state == 'SENDING' then return misuse(ARGV[4] .. ': SENDING is not an outcome of this operation') end
if outcome.state == 'LOST' and now < ceil_us(entry.send_by) then return false end -- guard: lost after send_by
return settled(entry, outcome)
