-- KEYS: epoch. Replies {the store's run, the epoch that is valid in it or nil}.
local run, epoch = run_id(), redis.call('HMGET', KEYS[1], 'run', 'value')
return {run, epoch[1] == run and epoch[2]}
