-- KEYS: the strategy's checkpoint. ARGV: fresh incarnation. Replies {run id, {field, value, …}}.
-- A claim is bound to the store's run: what was saved before a restart may be lost, so its owner must look again.
local run = run_id()
local before = redis.call('HGETALL', KEYS[1])
redis.call('HSET', KEYS[1], 'incarnation', ARGV[2], 'run_id', run)
return {run, before}
