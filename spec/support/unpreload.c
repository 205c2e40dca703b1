/* Loaded after libasan by LD_PRELOAD: takes the variable out of the environment again, so that only the program it was
 * set for is preloaded, and not git, sh and whatever else the tests start (whose leaks are not ours). */
#include <stdlib.h>

__attribute__((constructor)) static void unpreload(void)
{
    unsetenv("LD_PRELOAD");
}
