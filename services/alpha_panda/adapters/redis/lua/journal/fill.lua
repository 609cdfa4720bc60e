-- ARGV: id, revision, outcome. Replies the entry, or nil if it does not rest at this revision.
local entry = load(ARGV[2])
if not entry then return false end
if not RESTS[entry.state] then return false end -- guard: resting
if entry.revision ~= ARGV[3] then return false end -- guard: revision
return changed(entry, cmsgpack.unpack(ARGV[4]))
