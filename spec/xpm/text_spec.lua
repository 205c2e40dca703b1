local text = require "xpm.text"

describe("text.clean", function()
  local cases = {
    { "plain\ttext\nand more", "plain\ttext\nand more", "plain text" },
    { "a\27[31mred\27[0m", "ared", "colours" },
    { "a\27[?25l\27[2;5Hb\27[1 qc", "abc", "other CSI sequences" },
    { "a\27]0;title\7b\27]8;;http://x\27\\link", "ablink", "OSC ended by BEL and by ST" },
    { "a\27]52;c;Zm9v\xC2\x9Cb", "ab", "OSC ended by the C1 terminator" },
    { "a\27P1$r0m\27\\b\27^pm\27\\c\27_apc\27\\d\27Xsos\27\\e", "abcde", "DCS, PM, APC and SOS" },
    { "a\27]0;never ended\nnext line", "a0;never ended\nnext line", "an OSC without end hides nothing" },
    { "a\27]0;x\27[31mb", "a0;xb", "an OSC broken by another sequence" },
    { "a\27(Bb\27cc\27=d\0277e", "abcde", "short escapes" },
    { "a\27", "a", "an ESC at the end" },
    { "a\27[", "a", "a CSI at the end" },
    { "a\27[12;", "a", "a CSI cut short" },
    { "a\0b\rc\8d\7e\127f", "abcdef", "C0 and DEL" },
    { "a\r\nb", "a\nb", "CRLF" },
    { "a\xC2\x9B31mb\xC2\x85c\xC2\x9D0;t\7d", "abcd", "C1 controls in UTF-8" },
    { "a\u{202E}b\u{202A}c\u{2066}d\u{2069}e", "abcde", "bidirectional overrides" },
    { "a\x9B31m", "a\\x9B31m", "a raw C1 byte" },
    { "\xFFa\xC3", "\\xFFa\\xC3", "no UTF-8" },
    { "\xC0\xAF\xED\xA0\x80\xF4\x90\x80\x80", "\\xC0\\xAF\\xED\\xA0\\x80\\xF4\\x90\\x80\\x80",
      "overlong, surrogate and past the last" },
    { "é\x9B漢\x80", "é\\x9B漢\\x80", "stray continuation bytes" },
    { "é 漢字 🙂 \u{A0}x", "é 漢字 🙂 \u{A0}x", "good UTF-8" },
    { "\27\27[31mx", "x", "an ESC before an ESC" },
    { "\27\0[31mx", "[31mx", "parts that must not join" },
    { "\xC2\27[m\x9B2J", "\\xC2\\x9B2J", "bytes that must not join" },
  }
  for _, case in ipairs(cases) do
    it("handles " .. case[3], function() assert.equal(case[2], text.clean(case[1])) end)
  end

  it("leaves no byte that a terminal acts on, whatever comes in", function()
    local state = 12345
    local alphabet = { "\27", "[", "]", "P", "\\", "\7", "\xC2", "\x9B", "\x9C", "\x9D", "3", "1", "m", ";", "\n",
      "\0", "\xE2", "\x80", "\xAE", "a", "\r", "\127" }
    for _ = 1, 3000 do
      local parts = {}
      for i = 1, 12 do
        state = (state * 1103515245 + 12345) % 2147483648
        parts[i] = alphabet[state // 65536 % #alphabet + 1]
      end
      local out = text.clean(table.concat(parts))
      assert.is_nil(out:find("[\0-\8\11-\31\127]"))
      assert.is_truthy(utf8.len(out))
      for _, code in utf8.codes(out) do
        assert.is_false(code >= 0x80 and code < 0xA0 or code >= 0x202A and code <= 0x202E)
      end
      assert.equal(out, text.clean(out))
    end
  end)

  it("takes what is no string", function()
    assert.equal("12", text.clean(12))
    assert.equal("a b c", text.line("a\nb\tc"))
  end)

  it("is linear in unended strings", function()
    local t = os.clock()
    assert.equal(20000, #text.clean(("\27]x"):rep(20000)))
    assert.equal(20000, #text.clean(("\xC2\x9Dx"):rep(20000)))
    assert.equal(20000, #text.clean(("\xC2\x9D0\xC2\x9C\27[x"):rep(20000)) + 20000)
    assert.is_true(os.clock() - t < 1)
  end)
end)

describe("text.width and text.truncate", function()
  it("count columns", function()
    assert.equal(0, text.width(""))
    assert.equal(5, text.width("plain"))
    assert.equal(1, text.width("é"))
    assert.equal(1, text.width("e\u{301}"))
    assert.equal(4, text.width("漢字"))
    assert.equal(2, text.width("🙂"))
    assert.equal(2, text.width("한"))
    assert.equal(3, text.width("a\xFFb"))
    assert.equal(0, text.width("\u{200B}"))
  end)

  it("cut between characters", function()
    assert.equal("abc", text.truncate("abc", 3))
    assert.equal("ab…", text.truncate("abcd", 3))
    assert.equal("漢…", text.truncate("漢字文", 4))
    assert.equal("漢…", text.truncate("漢字文", 3))
    assert.equal("…", text.truncate("漢字", 1))
    assert.equal("", text.truncate("abc", 0))
    assert.equal("e\u{301}…", text.truncate("e\u{301}abc", 2))
  end)
end)

describe("quantities", function()
  it("are durations", function()
    local expected = { [0] = "0 s", [0.035] = "35 ms", [0.25] = "0.2 s", [3.2] = "3.2 s", [9.96] = "10 s",
      [42] = "42 s", [59.7] = "1m 00s", [303] = "5m 03s", [3599.6] = "1h 00m", [3720] = "1h 02m", [86399] = "1d 00h",
      [97200 + 86400] = "2d 03h", [-3.2] = "-3.2 s", [math.huge] = "?" }
    for seconds, shown in pairs(expected) do assert.equal(shown, text.duration(seconds)) end
    assert.equal("?", text.duration(0 / 0))
  end)

  it("are sizes", function()
    local expected = { [0] = "0 B", [999] = "999 B", [1000] = "1.0 kB", [999960] = "1.0 MB", [1400000000] = "1.4 GB",
      [9.2e18] = "9.2 EB", [-2048] = "-2.0 kB" }
    for n, shown in pairs(expected) do assert.equal(shown, text.bytes(n)) end
  end)
end)

describe("text.table", function()
  it("aligns columns, numbers to the right", function()
    assert.same({
      "name    jobs  note",
      "digits     9  漢字 x",
      "x         10",
    }, text.table({ { "digits", 9, "漢字 x" }, { "x", 10 } }, { header = { "name", "jobs", "note" } }))
  end)

  it("takes alignments, and makes cells harmless", function()
    assert.same({ "  a  b", "a b  c" }, text.table({ { "a", "b" }, { "a\nb", "\27[31mc" } }, { align = { "right" } }))
    assert.same({}, text.table({}))
    assert.same({ "a" }, text.table({}, { header = { "a" } }))
  end)

  it("names an unknown option", function()
    assert.error_matches(function() text.table({}, { heading = {} }) end, "unknown option 'heading'")
  end)
end)
