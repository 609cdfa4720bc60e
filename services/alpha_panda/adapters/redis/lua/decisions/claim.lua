-- KEYS: claim, decisions, snapshot, folds. ARGV: epoch, owner. Replies the snapshot: with the claim only its holder
-- writes, so that decisions and folds, which may be many, are read afterwards in pages.
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'run', run_id(), 'owner', ARGV[3])
return redis.call('GET', KEYS[3])
