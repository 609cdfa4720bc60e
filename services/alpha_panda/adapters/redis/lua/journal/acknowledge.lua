-- ARGV: id, revision, and so on. Replies how many of the entries are told: at this revision, and not in doubt.
local function acknowledged(id, revision)
  local entry = load(id)
  if not entry then return 0 end
  if entry.revision ~= revision then return 0 end -- guard: acknowledged revision
  if IN_DOUBT[entry.state] then return 0 end -- guard: acknowledged doubt
  redis.call('ZREM', OPEN, id)
  return 1
end

local count = 0
for at = 2, #ARGV, 2 do
  count = count + acknowledged(ARGV[at], ARGV[at + 1])
end
return count
