-- KEYS further: latches of the latch's scope. ARGV: lease key, lease epoch, id, outcome, latch id, state, body.
-- Replies the entry, or nil if nothing needs correction.
if stale_lease(ARGV[2], ARGV[3]) then return fenced('the order-tracker lease of epoch ' .. ARGV[3] .. ' is stale') end -- guard: correct lease
local entry, outcome = load(ARGV[4]), cmsgpack.unpack(ARGV[5])
if not ACCEPTED[outcome.state] and outcome.state ~= 'FAILED' then return misuse(ARGV[4] .. ': ' .. outcome.state .. ' is not an outcome of this operation') end
if not entry then return false end
if not terminal(entry) then return false end -- guard: correct terminal
local late = (entry.state == 'LOST' or entry.state == 'FAILED') and ACCEPTED[outcome.state]
local more = outcome.filled_order > entry.filled_order
if not late and not more then return false end -- guard: correction needed
put_latch(KEYS[9], ARGV[6], ARGV[7], ARGV[8]) -- guard: correct latch
entry.late = '1'
return changed(entry, outcome)
