-- KEYS: entries, tags. ARGV: id ('' for none), tag. Replies the entry, or nil.
local entry = redis.call('HGET', KEYS[1], ARGV[2])
local id = not entry and redis.call('HGET', KEYS[2], ARGV[3])
return entry or id and redis.call('HGET', KEYS[1], id)
