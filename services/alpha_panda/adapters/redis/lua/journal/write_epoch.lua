-- ARGV: lease key, lease epoch, run id, new epoch. Replies the valid epoch.
if stale_lease(ARGV[2], ARGV[3]) then return fenced('the order-tracker lease of epoch ' .. ARGV[3] .. ' is stale') end -- guard: epoch lease
if run_id() ~= ARGV[4] then return fenced('run ' .. ARGV[4] .. ' of the store is over') end -- guard: epoch run
local valid = valid_epoch()
if valid then return valid end -- guard: one epoch a run
redis.call('HSET', EPOCH, 'run', ARGV[4], 'value', ARGV[5])
return ARGV[5]
