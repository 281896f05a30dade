-- Wireshark dissector for Perron's frames (docs/protocol.md).
--   wireshark -X lua_script:docs/perron.lua line.pcap
--   tshark -X lua_script:docs/perron.lua -r line.pcap -Y 'perron.type == 2 && perron.stream'
-- Frames are known by their UDP port, port_base + class (preference perron.port_base), and on any
-- other port by the header's check.

local perron = Proto("perron", "Perron frame")

local HEADER_SIZE = 72
local CHECKED_SIZE = 60
local TRACE_HOP_COUNT_MAX = 10
local TRACE_RECORD_SIZE = 20
local TRACE_SIZE = 4 + TRACE_HOP_COUNT_MAX * TRACE_RECORD_SIZE
local FLAG_TRACE = 0x01
local TYPE_GROUP = 5

local classes = { [0] = "alarm", "critical", "normal", "overlay" }
local types = {
	[1] = "beat", [2] = "data", [3] = "gap", [4] = "ack", [5] = "group",
	[16] = "binding-request", [17] = "binding-reply", [18] = "bind", [19] = "bind-reply",
	[20] = "parent-request", [21] = "parent-reply", [22] = "join", [23] = "join-reply",
	[24] = "leave", [25] = "advertise", [26] = "discover", [27] = "discover-reply",
	[28] = "subscribe", [29] = "subscribe-reply", [30] = "unsubscribe",
	[31] = "path-setup", [32] = "path-reply", [33] = "path-teardown",
	[34] = "members",
}

local group_kinds = {
	"hello", "leave", "state", "refuse", "commit", "ready", "data", "status", "nack",
}
local group_services = { [0] = "fifo", "causal", "agreed", "safe" }
local group_items = { [0] = "message", "join", "leave", "list" }

local f = {
	version = ProtoField.uint8("perron.version", "Version"),
	type = ProtoField.uint8("perron.type", "Type", base.DEC, types),
	class = ProtoField.uint8("perron.class", "Class", base.DEC, classes),
	flags = ProtoField.uint8("perron.flags", "Flags", base.HEX),
	flag_trace = ProtoField.bool("perron.flags.trace", "Trace", 8, nil, 0x01),
	flag_retry = ProtoField.bool("perron.flags.retry", "Retry", 8, nil, 0x02),
	flag_replica = ProtoField.bool("perron.flags.replica", "Replica", 8, nil, 0x04),
	overlay = ProtoField.uint32("perron.overlay", "Overlay"),
	source = ProtoField.uint32("perron.source", "Source peer"),
	source_incarnation = ProtoField.uint32("perron.source_incarnation", "Its incarnation"),
	destination = ProtoField.uint32("perron.destination", "Destination peer"),
	destination_incarnation =
		ProtoField.uint32("perron.destination_incarnation", "Its incarnation"),
	stream = ProtoField.uint32("perron.stream", "Stream", base.HEX),
	length = ProtoField.uint16("perron.length", "Payload length"),
	fragment_index = ProtoField.uint8("perron.fragment_index", "Fragment"),
	fragment_count = ProtoField.uint8("perron.fragment_count", "Fragments"),
	sequence = ProtoField.uint64("perron.sequence", "Sequence"),
	origin_ns = ProtoField.uint64("perron.origin_ns", "Origin time, ns"),
	deadline_us = ProtoField.uint32("perron.deadline_us", "Deadline after origin, us"),
	link_sequence = ProtoField.uint32("perron.link_sequence", "Link sequence"),
	link_ack = ProtoField.uint32("perron.link_ack", "Link acknowledgement"),
	header_check = ProtoField.uint32("perron.header_check", "Header check", base.HEX),
	header_good = ProtoField.bool("perron.header_check.good", "Header check is right"),
	payload_check = ProtoField.uint32("perron.payload_check", "Payload check", base.HEX),
	payload_good = ProtoField.bool("perron.payload_check.good", "Payload check is right"),
	reserved = ProtoField.uint32("perron.reserved", "Reserved", base.HEX),
	trace_count = ProtoField.uint8("perron.trace.count", "Hops"),
	trace_peer = ProtoField.uint32("perron.trace.peer", "Peer"),
	trace_received = ProtoField.uint64("perron.trace.received_ns", "Received, ns"),
	trace_step = ProtoField.uint32("perron.trace.step_ns", "Step after, ns"),
	trace_transmitted = ProtoField.uint32("perron.trace.transmitted_ns", "Sent after, ns"),
	payload = ProtoField.bytes("perron.payload", "Payload"),
	group_kind = ProtoField.uint8("perron.group.kind", "Kind", base.DEC, group_kinds),
	group_flags = ProtoField.uint8("perron.group.flags", "Flags", base.HEX),
	group_again = ProtoField.bool("perron.group.flags.again", "Again", 8, nil, 0x01),
	group_answer = ProtoField.bool("perron.group.flags.answer", "Answer", 8, nil, 0x02),
	group_frozen = ProtoField.bool("perron.group.flags.frozen", "Frozen", 8, nil, 0x04),
	group_members = ProtoField.uint8("perron.group.members", "Members"),
	group_index = ProtoField.uint8("perron.group.index", "About member"),
	group_cell = ProtoField.uint64("perron.group.cell", "Cell", base.HEX),
	group_view = ProtoField.uint32("perron.group.view", "View"),
	group_leader = ProtoField.uint32("perron.group.leader", "Led by"),
	group_leader_incarnation =
		ProtoField.uint32("perron.group.leader_incarnation", "Its incarnation"),
	group_life = ProtoField.uint32("perron.group.life", "Life"),
	group_number = ProtoField.uint32("perron.group.number", "Latest view known"),
	group_slot = ProtoField.uint8("perron.group.slot", "Slot"),
	group_count = ProtoField.uint8("perron.group.count", "Count"),
	group_peer = ProtoField.uint32("perron.group.peer", "Peer"),
	group_incarnation = ProtoField.uint32("perron.group.incarnation", "Its incarnation"),
	group_mask = ProtoField.uint32("perron.group.mask", "Candidates", base.HEX),
	group_first = ProtoField.uint32("perron.group.first", "First"),
	group_sequence = ProtoField.uint32("perron.group.sequence", "Packet"),
	group_clock = ProtoField.uint32("perron.group.clock", "Clock"),
	group_received = ProtoField.uint32("perron.group.received", "Received up to"),
	group_past = ProtoField.uint32("perron.group.past", "Had delivered up to"),
	group_stable = ProtoField.uint32("perron.group.stable", "Stable up to"),
	group_missing = ProtoField.uint32("perron.group.missing", "Missing", base.HEX),
	group_size = ProtoField.uint16("perron.group.size", "Size"),
	group_service = ProtoField.uint8("perron.group.service", "Service", base.DEC,
		group_services),
	group_item = ProtoField.uint8("perron.group.item", "Item", base.DEC, group_items),
	group_piece = ProtoField.uint8("perron.group.piece", "Piece"),
	group_pieces = ProtoField.uint8("perron.group.pieces", "Pieces"),
	group_light = ProtoField.uint32("perron.group.light", "Light-weight group"),
	group_data = ProtoField.bytes("perron.group.data", "Bytes"),
}
perron.fields = f

local truncated = ProtoExpert.new("perron.truncated", "Shorter than it says",
	expert.group.MALFORMED, expert.severity.ERROR)
local unsound = ProtoExpert.new("perron.unsound", "A check does not fit",
	expert.group.CHECKSUM, expert.severity.ERROR)
perron.experts = { truncated, unsound }

perron.prefs.port_base = Pref.uint("Lowest UDP port", 7400,
	"Port of the class alarm; critical, normal and overlay follow")

-- What a byte shifted out of the register adds to it (CRC-32C, reflected).
local crc_table = {}
for i = 0, 255 do
	local crc = i
	for _ = 1, 8 do
		local carry = bit.band(crc, 1)
		crc = bit.rshift(crc, 1)
		if carry == 1 then crc = bit.bxor(crc, 0x82f63b78) end
	end
	crc_table[i] = crc
end

local function crc32c(range)
	local bytes = range:bytes()
	local crc = 0xffffffff
	for i = 0, bytes:len() - 1 do
		local index = bit.band(bit.bxor(crc, bytes:get_index(i)), 0xff)
		crc = bit.bxor(bit.rshift(crc, 8), crc_table[index])
	end
	return bit.bnot(crc) % 0x100000000
end

local function header_is_sound(tvb)
	return tvb(0, 1):uint() == 1 and
		crc32c(tvb(0, CHECKED_SIZE)) == tvb(CHECKED_SIZE, 4):uint()
end

-- In the order in which they stand.
local layout = {
	{ "version", 0, 1 }, { "type", 1, 1 }, { "class", 2, 1 }, { "flags", 3, 1 },
	{ "overlay", 4, 4 }, { "source", 8, 4 }, { "source_incarnation", 12, 4 },
	{ "destination", 16, 4 }, { "destination_incarnation", 20, 4 }, { "stream", 24, 4 },
	{ "length", 28, 2 }, { "fragment_index", 30, 1 }, { "fragment_count", 31, 1 },
	{ "sequence", 32, 8 }, { "origin_ns", 40, 8 }, { "deadline_us", 48, 4 },
	{ "link_sequence", 52, 4 }, { "link_ack", 56, 4 },
}

local function check_show(tree, range, field, good_field, good)
	local item = tree:add(field, range)
	item:add(good_field, range, good):set_generated()
	if not good then tree:add_proto_expert_info(unsound) end
end

local function trace_show(tree, block)
	local count = block(0, 1):uint()
	local sub = tree:add(perron, block, "Trace")
	sub:add(f.trace_count, block(0, 1))
	for i = 0, math.min(count, TRACE_HOP_COUNT_MAX) - 1 do
		local record = block(4 + i * TRACE_RECORD_SIZE, TRACE_RECORD_SIZE)
		local hop = sub:add(perron, record, "Hop " .. i)
		hop:add(f.trace_peer, record(0, 4))
		hop:add(f.trace_received, record(4, 8))
		hop:add(f.trace_step, record(12, 4))
		hop:add(f.trace_transmitted, record(16, 4))
	end
end

-- A place in a group's frame. What is asked for and not there is told once.
local function group_take(r, name, size)
	if r.short or r.at + size > r.range:len() then
		if not r.short then r.tree:add_proto_expert_info(truncated) end
		r.short = true
		return 0
	end
	if size == 0 then return 0 end
	local part = r.range(r.at, size)
	local item = name and r.tree:add(f["group_" .. name], part)
	if name == "flags" then
		item:add(f.group_again, part)
		item:add(f.group_answer, part)
		item:add(f.group_frozen, part)
	end
	r.at = r.at + size
	return size <= 4 and part:uint() or 0
end

local function group_list(r, name, count)
	for _ = 1, count do group_take(r, name, 4) end
end

local function group_view_take(r)
	group_take(r, "view", 4)
	group_take(r, "leader", 4)
	group_take(r, "leader_incarnation", 4)
end

local function group_hello(r)
	group_take(r, "life", 4)
	group_take(r, "number", 4)
	group_take(r, "slot", 1)
	group_list(r, "peer", group_take(r, "count", 1))
end

local function group_state(r)
	for _ = 1, group_take(r, "count", 1) do
		group_take(r, "peer", 4)
		group_take(r, "incarnation", 4)
		group_take(r, "life", 4)
		group_take(r, "slot", 1)
	end
	group_take(r, "mask", 4)
	group_view_take(r)
	local count = group_take(r, "count", 1)
	group_list(r, "received", count)
	group_list(r, "clock", count)
	group_list(r, "stable", count)
end

local function group_data(r, members)
	local top = r.tree
	group_take(r, "sequence", 4)
	group_take(r, "clock", 4)
	group_list(r, "received", members)
	group_list(r, "past", members)
	while not r.short and r.at < r.range:len() do
		r.tree = top:add(perron, r.range(r.at), "Item")
		local size = group_take(r, "size", 2)
		group_take(r, "service", 1)
		group_take(r, "item", 1)
		group_take(r, "piece", 1)
		group_take(r, "pieces", 1)
		group_take(r, nil, 2)
		group_take(r, "light", 4)
		group_take(r, "data", size)
	end
end

-- By kind; what is not here is head alone.
local group_bodies = {
	[1] = group_hello,
	[3] = group_state,
	[4] = function(r) group_take(r, "number", 4) end,
	[5] = function(r)
		group_take(r, "first", 4)
		group_take(r, "mask", 4)
	end,
	[7] = group_data,
	[8] = function(r, members)
		group_take(r, "clock", 4)
		group_take(r, "sequence", 4)
		group_list(r, "received", members)
	end,
	[9] = function(r)
		group_take(r, "first", 4)
		group_take(r, "missing", 4)
	end,
}

local function group_show(tree, range)
	local r = { tree = tree:add(perron, range, "Group"), range = range, at = 0 }
	local kind = group_take(r, "kind", 1)
	group_take(r, "flags", 1)
	local members = group_take(r, "members", 1)
	group_take(r, "index", 1)
	group_take(r, "cell", 8)
	group_view_take(r)
	if group_bodies[kind] then group_bodies[kind](r, members) end
end

local function payload_show(tree, tvb)
	local length = tvb(28, 2):uint()
	local skip = bit.band(tvb(3, 1):uint(), FLAG_TRACE) ~= 0 and TRACE_SIZE or 0
	if tvb:len() < HEADER_SIZE + length or length < skip then
		tree:add(f.payload_check, tvb(64, 4))
		tree:add_proto_expert_info(truncated)
		return
	end
	-- An empty range cannot be asked for; the check of nothing is 0.
	local rest = length > skip and tvb(HEADER_SIZE + skip, length - skip) or nil
	local check = rest and crc32c(rest) or 0
	check_show(tree, tvb(64, 4), f.payload_check, f.payload_good, check == tvb(64, 4):uint())
	if skip > 0 then trace_show(tree, tvb(HEADER_SIZE, TRACE_SIZE)) end
	if not rest then return end
	tree:add(f.payload, rest)
	if tvb(1, 1):uint() == TYPE_GROUP then group_show(tree, rest) end
end

function perron.dissector(tvb, pinfo, root)
	if tvb:len() < HEADER_SIZE then return 0 end
	pinfo.cols.protocol = "Perron"
	local tree = root:add(perron, tvb())
	for _, place in ipairs(layout) do
		local range = tvb(place[2], place[3])
		local item = tree:add(f[place[1]], range)
		if place[1] == "flags" then
			item:add(f.flag_trace, range)
			item:add(f.flag_retry, range)
			item:add(f.flag_replica, range)
		end
	end
	check_show(tree, tvb(60, 4), f.header_check, f.header_good, header_is_sound(tvb))
	payload_show(tree, tvb)
	tree:add(f.reserved, tvb(68, 4))
	local name = types[tvb(1, 1):uint()] or "unknown type"
	if tvb(1, 1):uint() == TYPE_GROUP and tvb:len() > HEADER_SIZE then
		name = name .. " " .. (group_kinds[tvb(HEADER_SIZE, 1):uint()] or "?")
	end
	pinfo.cols.info = string.format("%s %d -> %d, stream 0x%08x, sequence %s, %d bytes", name,
		tvb(8, 4):uint(), tvb(16, 4):uint(), tvb(24, 4):uint(),
		tostring(tvb(32, 8):uint64()), tvb(28, 2):uint())
	return tvb:len()
end

perron:register_heuristic("udp", function(tvb, pinfo, root)
	if tvb:len() < HEADER_SIZE or not header_is_sound(tvb) then return false end
	perron.dissector(tvb, pinfo, root)
	return true
end)

local ports = DissectorTable.get("udp.port")
local registered
local function ports_register()
	for class = 0, 3 do
		if registered then ports:remove(registered + class, perron) end
		ports:add(perron.prefs.port_base + class, perron)
	end
	registered = perron.prefs.port_base
end
perron.prefs_changed = ports_register
ports_register()
