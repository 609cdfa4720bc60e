-- KEYS further: latches of the latch's scope, if there is a latch. ARGV: lease key, lease epoch, entry; with a latch
-- its id, state, body.
-- Replies the entry, or nil if its id is known.
if stale_lease(ARGV[2], ARGV[3]) then return fenced('the order-tracker lease of epoch ' .. ARGV[3] .. ' is stale') end -- guard: orphan lease
local entry = cmsgpack.unpack(ARGV[4])
if not ACCEPTED[entry.state] then return misuse('an orphan is an order that the broker took, not ' .. entry.state .. ': ' .. entry.id) end
if load(entry.id) then return false end -- guard: orphan known
if ARGV[5] then put_latch(KEYS[9], ARGV[5], ARGV[6], ARGV[7]) end -- guard: orphan latch
entry.late = '1'
entry.revision = revision_after(tonumber(entry.revision))
entry.created_at, entry.updated_at = as_ns(now), as_ns(now)
return put(entry)
