-- What nearly all operations are, each by the shortest way: nothing is read, unpacked or written that it does not
-- need. Whatever is out of the ordinary is refused, or done, as `changes.lua` does it. `wire.py` says which are such.

-- What each of these needs of an envelope; that of an opening comes without its version.
local OPENING = '>HxxHxBxxxxxxxxdxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxddBc0Hc0Hc0'
local ENDING = '>I8HHHBBxxxxxxxxdxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxddBc0Hc0Hc0'
local TOUCHING = '>xxxxxxxxxxxxxxBxxxxxxxxxddxxxxxxxxddxxxxxxxxdBc0'
local SHORT_AHEAD = 255
local ENDED_AT = 16
local KIND_ENDS = 335
local OVER = {[0] = 'owner', [1] = 'kind'}
local RULES = {[0] = 'deny', [1] = 'oldest', [2] = 'used'}

-- One record.
function S.load_one(args, place)
  return call('GET', S.P .. 's' .. args[place])
end

local function opening_of(id, text, maker, limit)
  text = pack('>I8', 0) .. text
  local new, limits = S.unpacked(id, text), {}
  if limit ~= '' then
    local most, over, rule = unpack('>IBB', limit)
    limits[1] = {most = most, over = OVER[over], rule = RULES[rule]}
  end
  return {at = new.opened, change = new.change, node = maker, limits = limits, parts = {{id = id, guard = 'a',
    version = 0, new = new, data = sub(text, new.size + 1), event = '0', reason = '', fields = {}}}}
end

-- The opening of a session as nearly all of them are: under an id that nobody had, with one limit at most, which is
-- not reached. Any other is a commit. The record is what `records.py` says, without its version.
function S.open(args, place)
  local id, text, maker, limit = args[place], args[place + 1], args[place + 2], args[place + 3]
  local size, change_size, finish, due, keep, opened, kind, owner, node = unpack(OPENING, text)
  local P, where = S.P, '0' .. kind
  local of_owner = P .. 'o' .. where .. owner
  S.meta()
  local free = true
  if limit ~= '' then
    local most, over = unpack('>IB', limit)
    if over == 1 then free = call('ZCARD', P .. 'k' .. where) < most
    elseif owner ~= '' then free = call('ZCARD', of_owner) < most end
  end
  local number = S.number + 1
  if not (free and call('SET', P .. 's' .. id, pack('>I8', number) .. text, 'NX')) then
    return decide(opening_of(id, text, maker, limit))
  end
  S.number = number
  know_kind(kind)
  S.enter(id, 0, opened, kind, owner, node, finish)
  call('ZADD', P .. 'd' .. kind, due, id)
  append(0, pack(EVENT, number, opened, 0, change_size, #id) .. sub(text, size - 7 - change_size, size - 8) .. id
    .. sub(text, KIND_AT - 7, KIND_AT - 5 + #kind + #owner) .. maker)
  return number
end

-- New data over the version that was read, and nothing else.
function S.update(args, place)
  local id, change = args[place], args[place + 2]
  local at, asked = unpack('>dI8', args[place + 1])
  local key = S.P .. 's' .. id
  local text, size = head_of(key, SHORT_AHEAD)
  if not text then return refused(MISSING) end
  local version, _, reason_size, change_size, state, finish, due = unpack('>I8HHHBBxxxxxxxxd', text)
  local last = change_size == 0 and id or sub(text, size - change_size + 1, size)
  if last == change then return version end
  if state ~= 0 or due <= at or version ~= asked then
    local record = S.unpacked(id, text)
    return refused(judge('v', asked, record, at), record)
  end
  local number = S.next_number()
  call('SET', key, pack('>I8HHHBB', number, size - change_size + #change, reason_size, #change, state, finish)
    .. sub(text, ENDED_AT + 1, size - change_size) .. change .. args[place + 3])
  return number
end

-- The ending of one id.
function S.end_one_id(args, place)
  local id, reason, change = args[place], args[place + 2], args[place + 3]
  local at, born, state, due_by_then = unpack('>ddBB', args[place + 1])
  local text, size = head_of(S.P .. 's' .. id, READ_AHEAD)
  if not text then return refused(MISSING) end
  local version, _, reason_size, change_size, now, finish, due, keep, opened, kind, owner, node = unpack(ENDING, text)
  local last = change_size == 0 and id or sub(text, size - change_size + 1, size)
  if last == change then return version end
  if opened >= born then return refused(STALE, {id = id}) end
  if now ~= 0 then return refused(ENDED, {id = id}) end
  if (due <= at) ~= (due_by_then == 1) then return refused(due <= at and PAST_DUE or STALE, {id = id}) end
  local answered = finish == 0 and sub(kind, 1, 1) ~= '~'
  return conclude(id, text, size, reason_size, change_size, finish, keep, kind, owner, node, at, state, reason, change,
    args[place + 4], answered)
end

function S.touch(args, place)
  local id = args[place]
  local at, window, born = unpack('>ddd', args[place + 1])
  local key = S.P .. 's' .. id
  local text = call('GETRANGE', key, 0, KIND_ENDS)
  if #text == 0 then return refused(MISSING) end
  local state, due, touched, reach, absolute, opened, kind = unpack(TOUCHING, text)
  if opened >= born then return refused(STALE, {id = id}) end
  if state ~= 0 then return refused(ENDED, {id = id}) end
  if due <= at then return refused(PAST_DUE, {id = id}) end
  if at - touched > window then
    due = math.max(math.min(at + reach, absolute), due)
    call('SETRANGE', key, DUE_AT, pack('>dd', due, at))
    call('ZADD', S.P .. 'd' .. kind, due, id)
  end
  return pack('>d', due)
end
