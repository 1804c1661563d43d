// SPDX-License-Identifier: Apache-2.0
// Copyright The retether authors
// list AGENT: list.c once more, through cgo.
package main

// #cgo pkg-config: retether
// #include <poll.h>
// #include <retether/client.h>
// #include <stdlib.h>
// extern void listReply(struct retether_client *, struct retether_reply *, void *);
import "C"

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"
)

var status = 1

//export listReply
func listReply(client *C.struct_retether_client, reply *C.struct_retether_reply, _ unsafe.Pointer) {
	if reply.error != 0 || reply.cls != C.RETETHER_OK {
		fmt.Fprintln(os.Stderr, "list:", C.GoString(C.retether_strerror(reply.error)), C.GoString(reply.text))
	} else {
		status = 0
	}
	for _, record := range unsafe.Slice(reply.records, reply.n_records) {
		state := C.GoString(C.retether_state_name(C.uint(record.state)))
		fmt.Println(C.GoString(&record.container[0]), state, C.GoString(&record.host[0]))
	}
	if !reply.more {
		C.retether_client_close(client, nil, nil)
	}
}

func main() {
	runtime.LockOSThread() // a client belongs to one thread
	signal.Ignore(syscall.SIGPIPE)
	var client *C.struct_retether_client
	name, why := C.CString("list"), (*C.char)(C.calloc(1, C.RETETHER_TEXT_MAX))
	if rc := C.retether_client_new(nil, name, nil, &client); rc != 0 || len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: list AGENT")
		os.Exit(1)
	}
	agent := C.CString(os.Args[1])
	if C.retether_client_add_agent(client, agent, why, C.RETETHER_TEXT_MAX) != 0 ||
		C.retether_list(client, nil, C.retether_reply_cb(C.listReply), nil) != 0 {
		fmt.Fprintln(os.Stderr, "list:", C.GoString(why))
		os.Exit(1)
	}
	for C.retether_client_dispatch(client) > 0 {
		ready := C.struct_pollfd{fd: C.retether_client_fd(client), events: C.POLLIN}
		C.poll(&ready, 1, C.retether_client_timeout(client))
	}
	os.Exit(status)
}
