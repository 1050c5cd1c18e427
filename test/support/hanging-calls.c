// Stands for a network volume or a name server that does not answer: loaded into a process by LD_PRELOAD, it makes the
// calls below wait, for paths and names that begin with $HANG_UNDER and for as long as the file $HANG_WHILE exists.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void hang(const char *path) {
  const char *under = getenv("HANG_UNDER"), *flag = getenv("HANG_WHILE");
  if (!under || !flag || strncmp(path, under, strlen(under)) != 0) return;
  while (access(flag, F_OK) == 0) usleep(20000);
}

static void hang_descriptor(int descriptor) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length > 0) {
    path[length] = 0;
    hang(path);
  }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int open_mode(int flags, va_list list) { return flags & O_CREAT ? va_arg(list, int) : 0; }

int open(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  int mode = open_mode(flags, list);
  va_end(list);
  hang(path);
  return REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  int mode = open_mode(flags, list);
  va_end(list);
  hang(path);
  return REAL(open64)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
  hang(path);
  return REAL(mkdir)(path, mode);
}

int fsync(int descriptor) {
  hang_descriptor(descriptor);
  return REAL(fsync)(descriptor);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
  if (node) hang(node);
  return REAL(getaddrinfo)(node, service, hints, result);
}
