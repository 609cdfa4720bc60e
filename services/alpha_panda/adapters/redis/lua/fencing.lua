-- Fencing by a lease: {owner, epoch, expires_us, run}. Time only decides when somebody else may take it. An epoch ends
-- with the run of the store that it was given in: what its holder concluded from a journal that is gone must not be
-- written into the one that came back.

local function stale_lease(key, epoch)
  local lease = redis.call('HMGET', key, 'owner', 'epoch', 'run')
  if not lease[1] or lease[1] == '' then return true end -- guard: released lease
  if lease[3] ~= run_id() then return true end -- guard: lease's run
  return lease[2] ~= epoch -- guard: lease epoch
end
