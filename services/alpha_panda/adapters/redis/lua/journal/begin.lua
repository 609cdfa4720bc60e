-- BEGIN: may this caller send the order? ARGV further: payload hash, attempt, expires_us, expires_at, rate limit,
-- then the spec and latches keys of each scope. Replies {go, fresh, entry}.

local hash, attempt, expires_us, expires_at, limit = ARGV[8], ARGV[9], tonumber(ARGV[10]), ARGV[11], ARGV[12]
local SCOPES = 13

local known = find(id, tag)
if known then return duplicate(known) end -- guard: known id

local decision = stored_decision()
local entry = fresh_entry(decision)
local increasing = entry.class == 'increasing'

if asked_epoch ~= valid_epoch() then return doubtful(entry) end -- guard: journal epoch

if not decision then return refused(entry, 'PAYLOAD_MISMATCH', 'no decision of risk is stored') end -- guard: decision
local permits = decision.verdict == 'VALIDATED' and decision.class ~= 'cancel'
if not permits then return refused(entry, 'PAYLOAD_MISMATCH', "risk's decision is " .. decision.verdict .. ' (' .. decision.class .. ')') end -- guard: verdict
if decision.hash ~= hash then return refused(entry, 'PAYLOAD_MISMATCH', 'risk validated another payload') end -- guard: payload

local strictest = binding_strictness(SCOPES)
if strictest == 2 then return refused(entry, 'TRADING_HALTED', 'a scope is Halted') end -- guard: halted
if increasing and strictest == 1 then return refused(entry, 'TRADING_REDUCING', 'a scope is Reducing') end -- guard: reducing

local in_doubt = redis.call('EXISTS', doubtful_of(entry.key)) == 1
if increasing and in_doubt then return refused(entry, 'IN_DOUBT', 'an earlier order of ' .. entry.key .. ' is in doubt') end -- guard: key in doubt

if now >= expires_us then return refused(entry, 'SIGNAL_EXPIRED', 'expired at ' .. expires_at .. ', now ' .. as_ns(now)) end -- guard: expiry

-- Last: a refusal takes no token.
if increasing and not take_token(tonumber(limit)) then return refused(entry, 'RATE_LIMIT', 'more than ' .. limit .. ' orders within a second') end -- guard: rate

entry.attempt = attempt
return stored(entry, 1)
