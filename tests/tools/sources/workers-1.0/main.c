#include <stdio.h>

#define EACH(do) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8)

#define DECLARE(n) double worker_##n(double);
EACH(DECLARE)

int main(void)
{
	double honey = 0;
#define WORK(n) honey += worker_##n(n);
	EACH(WORK)
	printf("8 workers brought %.3f drops\n", honey);
	return 0;
}
