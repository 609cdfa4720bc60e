-- ARGV: id, revision. Replies 1 if the entry is told: at this revision, and not in doubt.
local entry = load(ARGV[2])
if not entry then return 0 end
if entry.revision ~= ARGV[3] then return 0 end -- guard: acknowledged revision
if IN_DOUBT[entry.state] then return 0 end -- guard: acknowledged doubt
redis.call('ZREM', OPEN, ARGV[2])
return 1
