-- A claim ends with the run of the store that it was made in: risk's memory may know more than what came back.

local function unclaimed(key, epoch)
  local claim = redis.call('HMGET', key, 'epoch', 'run')
  if claim[1] ~= epoch then return true end -- guard: risk epoch
  return claim[2] ~= run_id() -- guard: claim's run
end
