-- What commits, endings and touches mean: the same decisions as `kernel.rules` and `kernel.interpreter`.

local STALE, ENDED, PAST_DUE, MISSING, LIMIT, FENCED, FULL, TAKEN, LOST = 0, 1, 2, 3, 4, 5, 6, 7, 8
local KEPT_CHANGES = 8
local NUMBERS = {opened = 1, touched = 1, window = 1, reach = 1, absolute = 1, due = 1, ended = 1, keep = 1,
  state = 1, finish = 1, version = 1}

local function refused(why, record)
  if not record then return {0, why} end
  return {0, why, 's' .. record.id, S.whole(record.id)}
end

local function refused_item(why, item)
  if not item then return {0, why} end
  return {0, why, 'i' .. item.key, S.whole_item(item.key)}
end

local function judge_live(guard, version, record, at)
  if record.state ~= 0 then return ENDED end
  local past = record.due <= at
  if guard == 'd' then return not past and STALE or nil end
  if past then return PAST_DUE end
  if guard == 'v' and record.version ~= version then return STALE end
  return nil
end

-- Why a change under this guard may not be made of this record; nil: it may.
local function judge(guard, version, record, at)
  if guard == 'a' then
    if not record or (record.state ~= 0 and record.finish == 0) then return nil end
    return record.state == 0 and record.due <= at and PAST_DUE or STALE
  end
  if not record then return MISSING end
  if guard == 's' then return record.version ~= version and STALE or nil end
  if guard == 'e' then return (record.state == 0 or record.version ~= version) and STALE or nil end
  return judge_live(guard, version, record, at)
end

-- Whether an ended record may be what an opening that is sent again opened when it was sent first.
local function since(record, at)
  return record and math.max(record.opened, record.ended) >= at
end

local function refusal_of_record(commit, part, record)
  local why = judge(part.guard, part.version, record, commit.at)
  if not why and commit.again and part.guard == 'a' and since(record, commit.at) then why = ENDED end
  return why and refused(why, record)
end

local function refusal_of_item(commit, part, item)
  local there = item and item.expires > commit.at and item or nil
  if part.guard == 'a' then return there and refused_item(STALE, there) end
  if part.guard == 'v' then
    if not there then return refused_item(MISSING) end
    return there.version ~= part.version and refused_item(STALE, there)
  end
  return nil
end

-- Write an ending over a record, and move it from the indexes of the live into those of the ended; its new version.
local function conclude(id, text, size, reason_size, change_size, finish, keep, kind, owner, node, at, state, reason,
                        change, maker, answered)
  local number, key = S.next_number(), S.P .. 's' .. id
  local kept = change == id and '' or change
  local after = size - reason_size - change_size + #reason + #kept
  local head = pack('>I8HHHBBd', number, after, #reason, #kept, state, finish, at)
    .. sub(text, DUE_AT + 1, size - reason_size - change_size) .. reason .. kept
  if after == size then
    call('SETRANGE', key, 0, head)
  else
    call('SET', key, head .. data_of(text, size, key))
  end
  S.leave(id, 0, kind, owner, node, finish)
  S.enter(id, state, finish == 1 and math.huge or at + keep, kind, owner, node, finish)
  append(state + 1, pack(EVENT, number, at, #reason, #kept, #id) .. reason .. kept .. id
    .. sub(text, KIND_AT + 1, KIND_AT + 3 + #kind + #owner) .. maker, answered)
  return number
end

function S.end_one(r, how)
  r.version = conclude(r.id, r.text, r.size, #r.reason, r.change == r.id and 0 or #r.change, r.finish, r.keep, r.kind,
    r.owner, r.node, how.at, how.state, how.reason, how.change, how.node)
  return r
end

local function expiry_of(commit)
  return {at = commit.at, state = 2, reason = '+expired', guard = 'd', change = commit.change, node = commit.node}
end

local function eviction_of(commit)
  return {at = commit.at, state = 1, reason = '+limit', guard = 'l', change = commit.change, node = commit.node}
end

-- How many have to go to make room for one more, once those that are due have expired.
local function surplus_of(limit, value, kind, commit)
  local members = S.count(limit.over, value, kind, 0)
  if members < limit.most then return 0 end
  local due = {}
  if limit.over == 'kind' then
    due = S.due(kind, commit.at, members)
  else
    for _, record in ipairs(S.walk('owner', value, kind, 0, nil, members)) do
      if record.due <= commit.at then due[#due + 1] = record end
    end
  end
  for _, record in ipairs(due) do S.end_one(record, expiry_of(commit)) end
  return math.max(0, members - #due - limit.most + 1)
end

local function victims_of(limit, value, kind, needed)
  if limit.rule == 'oldest' then return S.walk(limit.over, value, kind, 0, nil, needed) end
  if limit.over == 'kind' then return S.due(kind, math.huge, needed) end
  local members = S.walk('owner', value, kind, 0, nil, S.count('owner', value, kind, 0))
  table.sort(members, function(one, other)
    if one.touched ~= other.touched then return one.touched < other.touched end
    return before(one.id, other.id)
  end)
  local first = {}
  for place = 1, math.min(needed, #members) do first[place] = members[place] end
  return first
end

-- Make room for one more under every limit; false: one of them refuses, and nobody was evicted.
local function room(commit)
  local new
  for _, part in ipairs(commit.parts) do new = new or part.new end
  local evicted, chosen = {}, {}
  for _, limit in ipairs(commit.limits) do
    local value = limit.over == 'kind' and new.kind or string.sub(new.owner, 2)
    local surplus = 0
    if limit.over == 'kind' or new.owner ~= '' then surplus = surplus_of(limit, value, new.kind, commit) end
    if surplus > 0 then
      local leaving = 0
      for _, record in ipairs(evicted) do
        if limit.over == 'kind' or record.owner == new.owner then leaving = leaving + 1 end
      end
      if surplus > leaving and limit.rule == 'deny' then return false end
      local needed = surplus - leaving
      for _, record in ipairs(victims_of(limit, value, new.kind, surplus)) do
        if needed > 0 and not chosen[record.id] then
          chosen[record.id] = true
          evicted[#evicted + 1] = record
          needed = needed - 1
        end
      end
    end
  end
  for _, record in ipairs(evicted) do S.end_one(record, eviction_of(commit)) end
  return true
end

local function patched(record, part, commit)
  local after = S.copy(record)
  for name, value in pairs(part.fields) do
    after[name] = NUMBERS[name] and num(value) or value
  end
  if part.guard ~= 's' then
    after.version, after.change = S.next_number(), commit.change
  end
  if part.fields.touched then
    after.touched = math.max(after.touched, record.touched)
    after.due = math.max(math.min(after.touched + record.reach, record.absolute), record.due)
  end
  return after
end

local function change_record(part, record, commit)
  local after
  if part.new then
    after = part.new
    after.version = S.next_number()
    S.write(after, nil, part.data)
  else
    after = patched(record, part, commit)
    S.write(after, record, part.data)
  end
  if part.event ~= '' then
    S.log(tonumber(part.event), commit.at, after.id, after.kind, after.owner, after.version, part.reason,
      commit.change, commit.node)
  end
  return after.version
end

local function change_item(part, item, commit)
  local version = S.next_number()
  if not part.data then
    if item then S.remove_item(item) end
    return 0
  end
  local changes = item and item.changes or {}
  while #changes >= KEPT_CHANGES do table.remove(changes, 1) end
  changes[#changes + 1] = commit.change
  S.put_item({key = part.key, version = version, expires = part.expires, owner = part.owner, changes = changes},
    item, part.data)
  return version
end

local function parts_from(args, place)
  local parts = {}
  for number = 1, tonumber(args[place]) do
    local part = {}
    if args[place + 1] == 'r' then
      part.id, part.guard, part.version = args[place + 2], args[place + 3], tonumber(args[place + 4])
      if args[place + 5] ~= '' then part.new = S.unpacked(part.id, pack('>I8', 0) .. args[place + 5]) end
      if args[place + 6] == '1' then part.data = args[place + 7] end
      part.event, part.reason, part.fields = args[place + 8], args[place + 9], {}
      local fields = tonumber(args[place + 10])
      place = place + 10
      for _ = 1, fields do
        part.fields[args[place + 1]] = args[place + 2]
        place = place + 2
      end
    else
      part.key, part.guard, part.version = args[place + 2], args[place + 3], tonumber(args[place + 4])
      if args[place + 5] == '1' then part.data = args[place + 6] end
      part.owner, part.expires = args[place + 7], num(args[place + 8])
      place = place + 8
    end
    parts[number] = part
  end
  return parts
end

local function commit_from(args, place)
  local commit = {at = num(args[place]), change = args[place + 1], node = args[place + 2], limits = {}}
  commit.again = args[place + 3] == '1'
  if args[place + 4] == '1' then
    commit.fence = {lease = args[place + 5], ticket = args[place + 6], token = tonumber(args[place + 7])}
  end
  local limits = tonumber(args[place + 8])
  place = place + 8
  for number = 1, limits do
    commit.limits[number] = {most = tonumber(args[place + 1]), over = args[place + 2], rule = args[place + 3]}
    place = place + 3
  end
  commit.parts = parts_from(args, place + 1)
  return commit
end

local function repeated(commit, now)
  local done, versions = false, {}
  for place, part in ipairs(commit.parts) do
    local one = now[place]
    versions[place] = 0
    if one and part.key then
      for number, change in ipairs(one.changes) do
        if change == commit.change then
          done = true
          if number == #one.changes then versions[place] = one.version end
        end
      end
    elseif one and one.change == commit.change then
      done, versions[place] = true, one.version
    end
  end
  return done and {1, versions}
end

-- What a commit finds below an ended record that it replaces: nothing.
local function forget_replaced(commit, now)
  for place, part in ipairs(commit.parts) do
    if part.new and now[place] then
      local prefix = S.text_of_id(part.id) .. '/'
      for other, put in ipairs(commit.parts) do
        if put.key and string.sub(put.key, 1, #prefix) == prefix then now[other] = nil end
      end
    end
  end
end

local function decide(commit)
  local parts, now = commit.parts, {}
  for number, part in ipairs(parts) do
    if part.key then now[number] = S.item(part.key) else now[number] = S.record(part.id) end
  end
  local versions = repeated(commit, now)
  if versions then return versions end
  forget_replaced(commit, now)
  if commit.fence and S.fenced(commit.fence, commit.at) then return refused(FENCED) end
  for number, part in ipairs(parts) do
    local refusal
    if part.key then refusal = refusal_of_item(commit, part, now[number])
    else refusal = refusal_of_record(commit, part, now[number]) end
    if refusal then return refusal end
  end
  if #commit.limits > 0 and not room(commit) then return refused(LIMIT) end
  for number, part in ipairs(parts) do
    -- Before anything is put, so that an item put below the new record is not taken along.
    if part.new and now[number] then S.remove(now[number]) end
  end
  versions = {}
  for number, part in ipairs(parts) do
    if part.key then versions[number] = change_item(part, now[number], commit)
    else versions[number] = change_record(part, now[number], commit) end
  end
  return {1, versions}
end

function S.commit(args, place)
  return decide(commit_from(args, place))
end

local function picked_of(kind, pick, how, most)
  if pick.index == 'due' then return S.due(kind, how.at, most) end
  local chosen, after = {}, nil
  while #chosen < most do
    local page = S.walk(pick.index, pick.value, kind, 0, after, most)
    local early = 0
    for _, record in ipairs(page) do
      if record.opened < pick.before then
        early = early + 1
        -- What is due is left to its expiry by an ending of somebody, here as by id.
        if (record.due <= how.at) == (how.guard == 'd') and #chosen < most then chosen[#chosen + 1] = record end
      end
    end
    if #page < most or early < #page then break end
    after = {rank = S.rank(page[#page]), id = page[#page].id}
  end
  return chosen
end

function S.finish(args, place)
  local pick = {index = args[place], value = args[place + 1], kind = args[place + 2], most = tonumber(args[place + 3]),
    before = num(args[place + 4])}
  local how = {at = num(args[place + 5]), state = tonumber(args[place + 6]), reason = args[place + 7],
    guard = args[place + 8], change = args[place + 9], node = args[place + 10]}
  local chosen, kinds = {}, S.kinds_of(pick.index, pick.value, pick.kind)
  for _, kind in ipairs(kinds) do
    for _, record in ipairs(picked_of(kind, pick, how, pick.most + 1 - #chosen)) do chosen[#chosen + 1] = record end
    if #chosen > pick.most then break end
  end
  local ids, versions = {}, {}
  for number = 1, math.min(#chosen, pick.most) do
    ids[number], versions[number] = chosen[number].id, S.end_one(chosen[number], how).version
  end
  local look = pick.index == 'due' and S.next_due(kinds) or math.huge
  return {1, ids, versions, #chosen > pick.most and 1 or 0, text_of(look)}
end

