module bench/frames

go 1.22
