/* Loads a program for BPF and stays: run by tests/guest/generated.rs inside of a guest. */
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  /* r0 = 0; exit */
  struct bpf_insn instructions[] = {{.code = 0xb7, .imm = 0}, {.code = 0x95}};
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insns = (unsigned long)instructions;
  attributes.insn_cnt = 2;
  attributes.license = (unsigned long)"GPL";
  memcpy(attributes.prog_name, "guest_filter", 12);
  int program = syscall(__NR_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
  printf("GUEST-BPF %d\n", program);
  fflush(stdout);
  while (program >= 0) pause();
  return 1;
}
