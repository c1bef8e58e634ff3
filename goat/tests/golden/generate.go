// What real Go makes of durations and configurations, for the tests of this crate to be held against.
//
// To make the files anew, here, with any Go from 1.21 on:
//
//	go run generate.go durations > durations.jsonl
//	go run generate.go configs > configs.jsonl
//
// The same seed gives the same lines.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"math/rand"
	"os"
	"strings"
	"time"
)

const seed = 20260701

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	random := rand.New(rand.NewSource(seed))
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	line := func(value any) {
		if err := encoder.Encode(value); err != nil {
			panic(err)
		}
	}
	switch strings.Join(os.Args[1:], " ") {
	case "durations":
		durations(random, line)
	case "configs":
		configs(random, line)
	default:
		fmt.Fprintln(os.Stderr, "usage: generate durations|configs")
		os.Exit(2)
	}
}

// Lines of ["TEXT", NANOSECONDS or null] for what is read, and of [NANOSECONDS, "TEXT"] for what is printed.
func durations(random *rand.Rand, line func(any)) {
	seen := map[string]bool{}
	parse := func(text string) {
		if seen[text] {
			return
		}
		seen[text] = true
		if duration, err := time.ParseDuration(text); err == nil {
			line([]any{text, int64(duration)})
		} else {
			line([]any{text, nil})
		}
	}
	for _, text := range []string{
		"", "0", "+0", "-0", "00", "0.0", "0s", "-0s", "3", "-", "+", "s", ".", "-.", ".s", "+.s", "1", "1x", "1 s", " 1s", "1s ",
		"1h 2m", "1e3s", "--1s", "+-1s", "1.s", ".5s", "1..5s", "1.5.5s", "1S", "1sec", "1d", "1us", "1µs", "1μs", "1m30s",
		"1h1h", "1s1h", "1ms1µs1ns", "9223372036854775807ns", "9223372036854775808ns", "-9223372036854775808ns",
		"-9223372036854775809ns", "9223372036854775.807us", "9223372036.854775807s", "9223372036.854775808s",
		"-9223372036.854775808s", "9223372036854ms775us807ns", "-9223372036854ms775us808ns", "2562047h47m16.854775807s",
		"-2562047h47m16.854775808s", "3000000h", "0.3333333333333333333h", "0.9223372036854775807h",
		"0.100000000000000000000h", "0.830103483285477580700h", "9007199254.740993s", "0.99999999999999999999s",
		"1.00000000000000000000000000000001h", "18446744073709551616s", "99999999999999999999999999999ns", "1\u0000s", "１s",
	} {
		parse(text)
	}
	units := []string{"ns", "us", "µs", "μs", "ms", "s", "m", "h", "", "x", "H", "d"}
	digits := func(most int) string {
		text := ""
		for count := random.Intn(most + 1); count > 0; count-- {
			text += string(rune('0' + random.Intn(10)))
		}
		return text
	}
	for count := 0; count < 3000; count++ {
		text := []string{"", "", "", "-", "+"}[random.Intn(5)]
		for part := 1 + random.Intn(3); part > 0; part-- {
			text += digits([]int{1, 3, 7, 20}[random.Intn(4)])
			if random.Intn(2) == 0 {
				text += "." + digits([]int{1, 3, 9, 25}[random.Intn(4)])
			}
			text += units[random.Intn(8+random.Intn(5))]
		}
		parse(text)
	}
	const alphabet = "0123456789.+-nuµmsh eE"
	letters := []rune(alphabet)
	for count := 0; count < 500; count++ {
		text := ""
		for length := random.Intn(8); length > 0; length-- {
			text += string(letters[random.Intn(len(letters))])
		}
		parse(text)
	}
	print := func(nanoseconds int64) { line([]any{nanoseconds, time.Duration(nanoseconds).String()}) }
	for _, nanoseconds := range []int64{0, 1, -1, 999, 1000, 999999, 1000000, 999999999, math.MaxInt64, math.MinInt64} {
		print(nanoseconds)
	}
	for count := 0; count < 1000; count++ {
		nanoseconds := int64(random.Uint64()) >> random.Intn(64)
		for zeros := random.Intn(10); zeros > 0; zeros-- {
			nanoseconds = nanoseconds / 10 * 10
		}
		print(nanoseconds)
	}
}

type config struct {
	Cmd                    []string `json:"cmd,omitempty"`
	User                   string   `json:"user,omitempty"`
	TaskID                 string   `json:"task_id,omitempty"`
	Token                  string   `json:"token,omitempty"`
	TaskAgentPath          string   `json:"task_agent_path,omitempty"`
	ReadinessFilePath      string   `json:"readiness_file_path,omitempty"`
	EnableUnsafeRetries    bool     `json:"enable_unsafe_retries,omitempty"`
	RunnerAPIBaseURL       string   `json:"runner_api_base_url,omitempty"`
	Allocation             string   `json:"allocation,omitempty"`
	SSHAdvertiseAddr       string   `json:"ssh_advertise_addr,omitempty"`
	MaxRunTime             int64    `json:"max_run_time,omitempty"`
	NotifyTaskAgent        bool     `json:"notify_task_agent,omitempty"`
	ShareInstance          bool     `json:"share_instance,omitempty"`
	TerminationMessagePath string   `json:"termination_message_path,omitempty"`
}

const whole = `{"cmd":["sh","-c","a\tb"],"user":"u","task_id":"i","token":"t","task_agent_path":"/a b",` +
	`"readiness_file_path":"/r","enable_unsafe_retries":true,"runner_api_base_url":"http://a","allocation":"a.1",` +
	`"ssh_advertise_addr":"","max_run_time":60000000000,"newer":{"a":[1,2.5e3,null]}}`

// Lines of {"in": BASE64, "config": OBJECT}; without the config where Go has an error.
func configs(random *rand.Rand, line func(any)) {
	type answer struct {
		In     []byte  `json:"in"`
		Config *config `json:"config,omitempty"`
	}
	try := func(text string) {
		one := answer{In: []byte(text), Config: &config{}}
		if json.Unmarshal(one.In, one.Config) != nil {
			one.Config = nil
		}
		line(one)
	}
	for _, text := range []string{
		"", " ", "null", "true", "1", `"x"`, "[]", `["a"]`, "{}", " {} ", "{}x", "{}{}", "\ufeff{}", "{", `{"cmd"`, `{"cmd":`,
		`{"cmd":}`, `{,}`, `{"cmd":[],}`, `{cmd:[]}`, `{'cmd':[]}`, `{"":1}`, "{\"a\":\"\x01\"}", "{\"\xff\":1}", whole,
		`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, `{"a":1e400}`, `{"a":01}`, `{"a":NaN}`,
		`{"a":"\ud800"}`, `{"a":"\u12"}`, `{"a":"\x"}`, "{\"a\":\"\xff\"}", "{} // x", "{}\x00",
	} {
		try(text)
	}
	keys := []string{"cmd", "token", "enable_unsafe_retries", "max_run_time"}
	names := append([]string{
		"CMD", "Cmd", "c\\u006dd", "cm", "cmdd", "TOKEN", "to\u212aen", "Enable_Unsafe_Retries", "enable_un\u017fafe_retries",
		"MaxRunTime", "MAX_RUN_TIME", "max-run-time", "Task_ID", "ta\u017fk_id", "shareInstance", "SHARE_INSTANCE",
	}, keys...)
	values := []string{
		"null", `"x"`, `""`, "0", "-0", "1", "-1", "1.0", "0.0", "1e3", "1E400", "9223372036854775807", "9223372036854775808",
		"-9223372036854775808", "123456789012345678901234567890", "true", "false", "[]", "[null]", `["a"]`, `["b",null]`,
		`[null,null,"c"]`, "[1]", "[[]]", "{}", `{"a":1}`, `"\u00e9\n\/"`, `"\ud83d\ude00"`, `"\ud800"`, "\"\xff\"", "nul",
	}
	for _, name := range names {
		for _, value := range values {
			try(fmt.Sprintf(`{"%s":%s}`, name, value))
		}
	}
	for _, key := range keys {
		for _, first := range values {
			for _, second := range []string{"null", `"y"`, "7", "true", "[null,null]", "[]"} {
				try(fmt.Sprintf(`{"%s":%s,"%s":%s}`, key, first, strings.ToUpper(key), second))
			}
		}
	}
	try(`{"cmd":["a","b"],"cmd":["c"],"cmd":[null,null,null]}`)
	const alphabet = "{}[]\",:\\ntu0-9e.\x00\xff "
	for count := 0; count < 500; count++ {
		text := []byte(whole)
		for changes := 1 + random.Intn(3); changes > 0; changes-- {
			at := random.Intn(len(text))
			switch random.Intn(3) {
			case 0:
				text = append(text[:at], text[min(len(text), at+1+random.Intn(4)):]...)
			case 1:
				text[at] = alphabet[random.Intn(len(alphabet))]
			default:
				text = append(text[:at], append([]byte{alphabet[random.Intn(len(alphabet))]}, text[at:]...)...)
			}
		}
		try(string(text))
	}
}
