-- KEYS: list {version, list}. ARGV: version, list.
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'list', ARGV[3])
return redis.status_reply('OK')
